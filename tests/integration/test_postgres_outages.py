"""PostgreSQL fails for a while: that is an outage, and the service goes on by itself."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, Table, text

from chassis.storage.database import Database
from chassis.storage.migrations import SchemaHistory, Upgrade
from saga.errors import Outage
from tests.integration.conftest import NatsServer
from tests.integration.service_process import ServiceProcess, running_service
from tests.kit.client import Json, Response, wait_until
from tests.kit.postgres import create_database, program, running_postgres
from tests.kit.stack import ROOT

pytestmark = pytest.mark.skipif(
    program("initdb") is None, reason="PostgreSQL is not installed (make postgres)"
)

WALLETS = "/api/v1/wallets"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with running_postgres() as url:
        yield url


class Operator:
    """A role with all rights on the server."""

    def __init__(self, server: str) -> None:
        self._url = server

    def run(self, *statements: str) -> None:
        writable = "-c default_transaction_read_only=off"
        with psycopg.connect(self._url, autocommit=True, options=writable) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def cut_connections(self, database: str) -> None:
        self.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"  # noqa: S608 - a test's name
            f" WHERE datname = '{database}' AND pid <> pg_backend_pid()"
        )


@pytest.fixture
def operator(server: str) -> Operator:
    return Operator(server)


@pytest.fixture
def database(operator: Operator) -> str:
    """A database and its owner, both of this name: limits don't apply to the server's own role."""
    name = f"payment_{uuid4().hex[:8]}"
    operator.run(f"CREATE ROLE {name} LOGIN", f"CREATE DATABASE {name} OWNER {name}")
    return name


def settings(server: str, database: str, nats_server: NatsServer) -> dict[str, str]:
    url = server.replace("shop@", f"{database}@").replace("/postgres", f"/{database}")
    return {
        "PAYMENT_DATABASE_URL": url,
        "NATS_URL": nats_server.url,
        "PATIENCE_SECONDS": "1",
        "REPEAT_AFTER_SECONDS": "1",
    }


async def open_wallet(payment: ServiceProcess, customer: str) -> Response:
    body: Json = {"customerId": customer}
    return await payment.shop.call("payment", "POST", WALLETS, body, idempotency_key=customer)


def assert_logged_once(payment: ServiceProcess) -> None:
    for line in ("began", "ended"):
        assert payment.log.count(f"outage of writing to the database {line}") == 1


READ_ONLY = (
    ("ALTER DATABASE {} SET default_transaction_read_only = on",),
    ("ALTER DATABASE {} RESET default_transaction_read_only",),
)
NO_RIGHT = (
    ("SET ROLE {}", "REVOKE INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public FROM {}"),
    ("SET ROLE {}", "GRANT ALL ON ALL TABLES IN SCHEMA public TO {}"),
)


@pytest.mark.parametrize(("begin", "end"), [READ_ONLY, NO_RIGHT], ids=["read-only", "no right"])
async def test_commands_answer_503_and_reads_work_while_nothing_can_be_written(
    server: str,
    operator: Operator,
    database: str,
    nats_server: NatsServer,
    tmp_path: Path,
    begin: tuple[str, ...],
    end: tuple[str, ...],
) -> None:
    known, new = str(uuid4()), str(uuid4())
    given = settings(server, database, nats_server)
    async with running_service("payment", tmp_path, given) as payment:
        assert (await open_wallet(payment, known)).status == 201
        in_database = Operator(server.replace("/postgres", f"/{database}"))
        in_database.run(*(each.format(database) for each in begin))
        operator.cut_connections(database)

        for _ in range(3):  # a second each: the loops that write have their turn
            refused = await open_wallet(payment, new)
            assert (refused.status, refused.body["error"]) == (503, "RETRY_LATER")
            assert refused.headers["Retry-After"] == "1"
            found = await payment.shop.call("payment", "GET", f"{WALLETS}/{known}")
            assert (found.status, found.body["balance"]) == (200, 0)
        assert (await payment.ready()).status == 200
        assert not await payment.check("writing")
        assert (await payment.shop.call("payment", "GET", "/health/live")).status == 200

        in_database.run(*(each.format(database) for each in end))
        await wait_until(lambda: payment.check("writing"), "the service notices the end")
        assert (await open_wallet(payment, new)).status == 201
        assert payment.process.poll() is None
    assert_logged_once(payment)


async def test_service_waits_for_its_database_at_the_start(
    server: str, operator: Operator, database: str, nats_server: NatsServer, tmp_path: Path
) -> None:
    operator.run(f"ALTER ROLE {database} CONNECTION LIMIT 0")
    given = settings(server, database, nats_server)
    async with running_service("payment", tmp_path, given) as payment:
        ready = await payment.ready()
        assert (ready.status, ready.body["checks"]["database"]["ok"]) == (503, False)
        customer = str(uuid4())
        for answer in (
            await open_wallet(payment, customer),
            await payment.shop.call("payment", "GET", f"{WALLETS}/{customer}"),
            await payment.shop.call("payment", "GET", "/api/v1/ops/outbox"),
        ):
            assert (answer.status, answer.body["error"]) == (503, "RETRY_LATER")

        operator.run(f"ALTER ROLE {database} CONNECTION LIMIT -1")
        await wait_until(payment.is_ready, "the service is ready")
        assert (await open_wallet(payment, customer)).status == 201
        await wait_until(lambda: payment.check("broker"), "it is connected to the broker")
    assert_logged_once(payment)


async def test_service_that_waits_for_its_database_stops_when_it_is_told(
    server: str, operator: Operator, database: str, nats_server: NatsServer, tmp_path: Path
) -> None:
    operator.run(f"ALTER ROLE {database} CONNECTION LIMIT 0")
    given = settings(server, database, nats_server)
    async with running_service("payment", tmp_path, given) as payment:
        payment.process.terminate()
        payment.process.wait(10)
        assert "Traceback" not in payment.log


async def test_too_many_connections_are_an_outage(
    server: str, operator: Operator, database: str, nats_server: NatsServer, tmp_path: Path
) -> None:
    given = settings(server, database, nats_server)
    async with running_service("payment", tmp_path, given) as payment:
        customer = str(uuid4())
        operator.run(f"ALTER ROLE {database} CONNECTION LIMIT 0")
        operator.cut_connections(database)
        refused = await open_wallet(payment, customer)
        assert (refused.status, refused.body["error"]) == (503, "RETRY_LATER")
        unread = await payment.shop.call("payment", "GET", f"{WALLETS}/{customer}")
        assert (unread.status, unread.body["error"]) == (503, "RETRY_LATER")
        assert (await payment.ready()).status == 503

        operator.run(f"ALTER ROLE {database} CONNECTION LIMIT -1")
        await wait_until(payment.is_ready, "the service is ready")
        assert (await open_wallet(payment, customer)).status == 201
        assert payment.process.poll() is None


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_other_encoding_than_utf_8_ends_the_process_with_one_line(
    server: str, operator: Operator, tmp_path: Path, encoding: str
) -> None:
    name = f"encoded_{encoding.lower()}"
    operator.run(
        f"CREATE DATABASE {name} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'"
        " TEMPLATE template0"
    )
    url = server.replace("postgresql://", "postgres://").replace("/postgres", f"/{name}")
    ended = subprocess.run(
        [sys.executable, "-m", "payment"],
        cwd=ROOT,
        env={"PAYMENT_DATABASE_URL": url, "STATE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    create_it = "create it with ENCODING 'UTF8' TEMPLATE template0"
    assert ended.returncode == 1
    assert ended.stderr.splitlines() == [
        f"payment: the database {name} has the encoding {encoding}: {create_it}"
    ]


# ---------------------------------------------------------------- the database alone

METADATA = MetaData()
THINGS, OTHERS = (
    Table(name, METADATA, Column("id", Integer, primary_key=True), Column("state", Integer))
    for name in ("things", "others")
)


def insert(connection: Connection) -> None:
    connection.execute(THINGS.insert().values(id=1))


def count(connection: Connection) -> int:
    return connection.scalar(text("SELECT count(*) FROM things")) or 0


def history(*upgrades: Upgrade) -> SchemaHistory:
    return SchemaHistory(service="hotel", saga_rows=THINGS, upgrades=upgrades)


async def test_work_that_only_reads_does_not_end_an_outage(server: str, operator: Operator) -> None:
    database = Database(create_database(server, "filled"))
    await database.create(METADATA, history=history())
    operator.run(READ_ONLY[0][0].format("filled"))
    operator.cut_connections("filled")
    for _ in range(3):
        with pytest.raises(Outage):
            await database.run(insert)
        with pytest.raises(Outage, match="read-only transaction"):
            await database.run(count)
        assert not database.writes
    operator.run(READ_ONLY[1][0].format("filled"))
    assert await database.run(count) == 0
    assert database.writes
    await database.close()


async def test_lock_timeout_is_an_outage(server: str) -> None:
    url = create_database(server, "locks")
    database = Database(f"{url}?options=-c%20lock_timeout%3D50ms")
    await database.create(METADATA)

    with psycopg.connect(server.replace("/postgres", "/locks")) as other:
        other.execute("LOCK TABLE things")
        with pytest.raises(Outage, match="lock timeout"):
            await database.run(insert)
        other.rollback()
    await database.run(insert)
    await database.close()


async def test_deadlock_of_an_upgrade_with_a_running_instance_is_an_outage(server: str) -> None:
    """The upgrade is tried again; the instance is not hurt."""
    database = Database(create_database(server, "deadlocks"))
    await database.create(METADATA, history=history())
    await database.run(insert)
    running = psycopg.connect(server.replace("/postgres", "/deadlocks"))
    running.execute("SET deadlock_timeout = '1min'")  # so that the upgrade is the victim
    running.execute("UPDATE things SET state = 1")
    second = threading.Thread(target=running.execute, args=("UPDATE others SET state = 1",))

    def upgrade(connection: Connection) -> None:
        connection.execute(text("SET LOCAL deadlock_timeout = '100ms'"))
        connection.execute(text("ALTER TABLE others ADD COLUMN IF NOT EXISTS more INTEGER"))
        if not second.ident:
            second.start()
            _wait_until_blocked(connection)
        connection.execute(text("ALTER TABLE things ADD COLUMN IF NOT EXISTS more INTEGER"))

    newer = history(Upgrade(2, upgrade))
    with pytest.raises(Outage, match="deadlock detected"):
        await database.create(METADATA, history=newer)
    second.join(10)
    running.commit()
    running.close()
    await database.create(METADATA, history=newer)
    version = await database.run(newer.find_version)
    assert version == 2
    await database.close()


def _wait_until_blocked(connection: Connection) -> None:
    waiting: Any = 0
    while not waiting:
        waiting = connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted"))
