"""A broker with the trip's permissions, and the three services on SQLite, as real processes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
from sqlalchemy import Connection, create_engine

from infra.stack.config import program
from saga.choreography.graph import load
from saga.choreography.permissions import users_conf
from tests.kit.client import (
    ROOT,
    Response,
    UnexpectedResponse,
    connect_to_broker,
    free_port,
    is_well,
    wait_until,
)
from trip_events.participants import PARTICIPANTS

HERE = Path(__file__).parent
STOP_SECONDS = 20

_BROKER = """\
host: 127.0.0.1
jetstream {{ store_dir: "{folder}/nats" }}
system_account: SYS
include "users.conf"
"""


class Trips:
    """The running choreography."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports = {name: free_port() for name in ("nats", *PARTICIPANTS)}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start_broker(self) -> None:
        """With the permissions that follow from the participants' type hints."""
        registries = load("trip_events").registries.values()
        (self._folder / "users.conf").write_text(users_conf(registries))
        conf = self._folder / "nats.conf"
        conf.write_text(_BROKER.format(folder=self._folder))
        users = (*PARTICIPANTS, "admin", "observer", "sys")
        passwords = {f"NATS_PASSWORD_{user.upper()}": _password(user) for user in users}
        server = program("nats-server")
        assert server is not None
        self._start("nats", [server, "-c", str(conf), "-p", str(self._ports["nats"])], passwords)

    def start(self, service: str) -> None:
        environment = {
            "PYTHONPATH": f"{ROOT}:{HERE}",
            "STATE_DIR": str(self._folder),
            "NATS_URL": self._nats_url(service),
            f"{service.upper()}_PORT": str(self._ports[service]),
            "REPEAT_AFTER_SECONDS": "1",
        }
        self._start(service, [sys.executable, "-m", service], environment)

    def kill(self, name: str) -> None:
        """As kill -9."""
        self._processes[name].kill()
        self._processes[name].wait(STOP_SECONDS)

    def stop(self) -> None:
        """The services before the broker. Each must have run until now, and end by SIGTERM."""
        for process in reversed(self._processes.values()):
            process.terminate()
        for process in self._processes.values():
            process.wait(STOP_SECONDS)

    def _start(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        with (self._folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                command, cwd=self._folder, env=os.environ | environment, stdout=log, stderr=log
            )

    def _nats_url(self, user: str) -> str:
        return f"nats://{user}:{_password(user)}@127.0.0.1:{self._ports['nats']}"

    async def ready(self) -> None:
        """Wait until all services can do their part."""

        async def all_ready() -> bool:
            try:
                answers = [await self.call(each, "GET", "/health/ready") for each in PARTICIPANTS]
            except aiohttp.ClientError:
                return False
            return all(map(is_well, answers))

        await wait_until(all_ready, "the services are ready", timeout_seconds=60)

    async def call(
        self, service: str, method: str, path: str, body: Any = None, **headers: str
    ) -> Response:
        url = f"http://127.0.0.1:{self._ports[service]}{path}"
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, url, json=body, headers=sent) as answer,
        ):
            return Response(answer.status, answer.headers.copy(), await answer.json())

    async def post(self, service: str, path: str, body: Any = None) -> Any:
        return await self._send(service, "POST", path, body)

    async def get(self, service: str, path: str) -> Any:
        return await self._send(service, "GET", path)

    async def _send(self, service: str, method: str, path: str, body: Any = None) -> Any:
        """The body of the response. Raises UnexpectedResponse unless the status is 2xx."""
        response = await self.call(service, method, f"/api/v1/{path}", body)
        if not 200 <= response.status < 300:
            raise UnexpectedResponse(f"{service}: {method} {path}", response)
        return response.body

    async def trip_in(self, trip_id: str, *states: str) -> Any:
        """The trip, once it is in one of these states."""
        trip: Any = None

        async def moved() -> bool:
            nonlocal trip
            trip = await self.get("flight", f"trips/{trip_id}")
            return trip["state"] in states

        await wait_until(moved, f"trip {trip_id} is in {states}", timeout_seconds=60)
        return trip

    async def quiet(self) -> None:
        """Wait until no service waits for an event, and none is unpublished."""

        async def idle() -> bool:
            for service in PARTICIPANTS:
                for route in ("owed", "outbox"):
                    if (await self.get(service, f"ops/{route}"))["items"]:
                        return False
            return True

        await wait_until(idle, "nothing is under way", timeout_seconds=60)

    def observer(self) -> Any:
        return connect_to_broker(self._nats_url("observer"))

    def admin(self) -> Any:
        return connect_to_broker(self._nats_url("admin"))

    @contextmanager
    def databases(self) -> Iterator[dict[str, Connection]]:
        with ExitStack() as opened:
            found = {}
            for service in PARTICIPANTS:
                engine = create_engine(f"sqlite:///{self._folder}/db/{service}.db")
                opened.callback(engine.dispose)
                found[service] = opened.enter_context(engine.connect())
            yield found


def _password(user: str) -> str:
    return f"of_{user}"


@contextmanager
def running(folder: Path) -> Iterator[Trips]:
    trips = Trips(folder)
    try:
        trips.start_broker()
        for service in PARTICIPANTS:
            trips.start(service)
        yield trips
    finally:
        trips.stop()
