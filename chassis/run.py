"""`python -m <service>`: read the settings, start the web server, stop on SIGTERM or SIGINT."""

import gc
import logging
import socket
import sys
from collections.abc import Callable
from contextlib import suppress

import uvicorn
from litestar import Litestar

from chassis.observability import logs
from chassis.settings import S, load
from chassis.web.app import REFUSAL
from chassis.web.fast_path import FastPath
from chassis.web.listening import bound
from saga.errors import ConfigurationError

GRACE_SECONDS = 10

# A busy service makes thousands of objects for a batch, and reference counts free them all. The
# search for cycles among them every 700 objects, Python's default, took an eighth of its CPU time.
OBJECTS_BETWEEN_COLLECTIONS = 50_000

# How long the writer's thread waits for the interpreter while the event loop is busy. With Python's
# 5 ms a POST takes longer near the limit (decision 2).
SWITCH_SECONDS = 0.001


class Server(uvicorn.Server):
    """Before it waits for the open requests it calls `leave`, which ends endless ones (streams)."""

    def __init__(self, config: uvicorn.Config, leave: Callable[[], None]) -> None:
        super().__init__(config)
        self._leave = leave

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._leave()
        await super().shutdown(sockets)


def main(service: str, port: int, settings: type[S], create_app: Callable[[S], Litestar]) -> None:
    """Run one instance of a service until SIGTERM or SIGINT. `port` is the default.

    A configuration that can't be used ends the process with a sentence.
    """
    try:
        chosen = load(settings, service, port)
        logs.configure(service, chosen.log_level)
        app = create_app(chosen)
        sockets = bound(chosen.host, chosen.port, f"{service.upper()}_PORT")
    except ConfigurationError as error:
        sys.exit(f"{service}: {error.message}")
    gc.freeze()  # what was imported stays for good, so the collector need not visit it
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    sys.setswitchinterval(SWITCH_SECONDS)
    config = uvicorn.Config(
        FastPath(app),
        host=chosen.host,
        port=chosen.port,
        loop="uvloop",
        http="httptools",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = Server(config, app.state["service"].leaving.set)
    # The server would log a traceback where one line tells all.
    logging.getLogger("uvicorn.error").addFilter(lambda _: REFUSAL not in app.state)
    try:
        with suppress(KeyboardInterrupt):
            server.run(sockets)
    except SystemExit:
        if REFUSAL in app.state:
            sys.exit(f"{service}: {app.state[REFUSAL]}")
        raise
    if not server.started:
        sys.exit(uvicorn.config.STARTUP_FAILURE)
