"""`python -m <service>`: read the settings, start the web server, stop on SIGTERM or SIGINT."""

import asyncio
import gc
import logging
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from types import FrameType
from typing import Any

import uvicorn
from litestar import Litestar
from litestar.types import ASGIApp

from chassis.observability import logs
from chassis.service import Service
from chassis.settings import S, Settings, load
from chassis.web.app import REFUSAL
from chassis.web.browsers import Browsers
from chassis.web.fast_path import FastPath
from chassis.web.head import HeadAsGet
from chassis.web.http_protocol import HttpProtocol
from chassis.web.listening import bound
from saga.errors import ConfigurationError

GRACE_SECONDS = 10
LOOK_SECONDS = 0.1

# A busy service makes thousands of objects for a batch, and reference counts free them all. The
# search for cycles among them every 700 objects, Python's default, took an eighth of its CPU time.
OBJECTS_BETWEEN_COLLECTIONS = 50_000

# How long the writer's thread waits for the interpreter while the event loop is busy. With Python's
# 5 ms a POST takes longer near the limit (decision 2).
SWITCH_SECONDS = 0.001


class Server(uvicorn.Server):
    """It drains before it closes: a balancer that does not repeat requests loses none.

    While it drains, `/health/ready` answers 503, requests are still taken, and each answer closes
    its connection. After that the open requests are finished, and endless ones (streams) end.
    """

    def __init__(self, config: uvicorn.Config, service: Service[Any]) -> None:
        super().__init__(config)
        self._service = service
        self._signals: list[int] = []

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._signals.append(sig)
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._service.is_draining = True
        self.server_state.default_headers.append((b"connection", b"close"))
        await self._drain()
        self._service.leaving.set()
        await super().shutdown(sockets)

    async def _drain(self) -> None:
        """Until the time is over, or a second signal. Ctrl-C, and a broken service, wait for none.

        uvicorn has no event for a signal, and looks as often itself.
        """
        began_at = monotonic()
        while (
            self._signals == [signal.SIGTERM]
            and self._service.loops.all_run
            and monotonic() - began_at < self._service.settings.drain_seconds
        ):
            await asyncio.sleep(LOOK_SECONDS)


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
    web = Browsers(HeadAsGet(FastPath(app)), chosen)
    server = Server(server_config(web, chosen), app.state["service"])
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


def server_config(app: ASGIApp, chosen: Settings) -> uvicorn.Config:
    """How the HTTP server works. A client's own headers don't change its address."""
    return uvicorn.Config(
        app,
        host=chosen.host,
        port=chosen.port,
        loop="uvloop",
        http=HttpProtocol,
        ws="none",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=chosen.trusted_proxies is not None,
        forwarded_allow_ips=chosen.trusted_proxies,
        timeout_keep_alive=chosen.keep_alive_seconds,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
