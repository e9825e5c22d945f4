"""A broker and databases for tests of the chassis alone."""

import asyncio
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import nats
import pytest
from nats.js.client import JetStreamContext

from chassis.storage import tables
from chassis.storage.database import Database
from infra.stack import config
from payment.tables import schema
from tests.integration.redis_server import RedisServer
from tests.kit.client import free_port, wait_until
from tests.kit.postgres import create_database, program, running_postgres


class NatsServer:
    """A nats-server for one test, that can be stopped and started.

    `options` are more flags of nats-server. Without any it has no users.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self._options = options
        self._port = free_port()
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self._port}"

    async def start(self) -> None:
        program = config.program("nats-server")
        assert program is not None
        command = [program, "-js", "-a", "127.0.0.1", "-p", str(self._port), "-sd"]
        self._process = await asyncio.create_subprocess_exec(
            *command,
            str(self.folder),
            *self._options,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

        async def listens() -> bool:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except OSError:
                return False
            writer.close()
            return True

        await wait_until(listens, "nats-server listens")

    @asynccontextmanager
    async def jetstream(self) -> AsyncIterator[JetStreamContext]:
        client = await nats.connect(self.url)
        try:
            yield client.jetstream()
        finally:
            await client.close()

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """It stops answering for a while; its connections stay open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def reload(self) -> None:
        """Read the configuration file again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    async def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            self._process = None


@pytest.fixture
async def nats_server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    server = NatsServer(tmp_path / "jetstream")
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path}/payment.db"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A database with the tables of the chassis and of the payment service."""
    database = Database(database_url)
    await database.create(tables.metadata, schema)
    yield database
    await database.close()


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server."""
    if program("initdb") is None:
        pytest.skip("PostgreSQL is not installed (make postgres)")
    with running_postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of a test's own, once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/service.db"
    server: str = request.getfixturevalue("postgres_url")
    return create_database(server, f"of_{abs(hash(request.node.name))}")


@pytest.fixture
async def redis_server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed (make redis)")
    server = RedisServer(tmp_path)
    await server.start()
    yield server
    await server.kill()
