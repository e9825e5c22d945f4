"""Backups of a service's database on PostgreSQL: made while it is used, checked, put back."""

import asyncio
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import psycopg
import pytest

from chassis.storage import tables
from chassis.storage.database import Database
from infra.stack.config import StackError
from ops.backup import postgres
from ops.backup.databases import ServiceDatabase, database_of
from payment.app import participant
from tests.kit.postgres import create_database, program, running_postgres

pytestmark = pytest.mark.skipif(
    program("initdb") is None, reason="PostgreSQL is not installed (make postgres)"
)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with running_postgres() as url:
        yield url


@pytest.fixture
def url(request: pytest.FixtureRequest, server: str) -> str:
    url = create_database(server, f"of_{abs(hash(request.node.name))}")
    asyncio.run(open_as("payment", url))
    execute(url, "INSERT INTO wallets VALUES ('c', 7, now(), now())")
    return url


async def open_as(service: str, url: str, *, versioned: bool = True) -> None:
    participant: Any = import_module(f"{service}.app").participant
    database = Database(url)
    history = participant.history if versioned else None
    await database.create(tables.metadata, participant.schema, history=history)
    await database.close()


def execute(url: str, sql: str) -> None:
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        connection.execute(sql)


def balances(url: str) -> list[int]:
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        return [row[0] for row in connection.execute("SELECT balance FROM wallets").fetchall()]


def database(url: str, folder: Path, service: str = "payment") -> ServiceDatabase:
    variables = {f"{service.upper()}_DATABASE_URL": url, "STATE_DIR": str(folder)}
    return database_of(service, variables)


def restore(database: ServiceDatabase, backup: Path) -> Path:
    with database.staged(backup) as staged:
        database.refuse_in_use()
        return database.replace(staged)


def test_backup_is_put_back_and_the_replaced_database_is_kept(url: str, tmp_path: Path) -> None:
    payment = database(url, tmp_path)
    backup = payment.back_up(tmp_path / "elsewhere")
    assert backup.name.startswith("payment-")
    execute(url, "UPDATE wallets SET balance = 8")

    replaced = restore(payment, backup)

    assert balances(url) == [7]
    assert replaced.parent == tmp_path / "backups"
    restore(payment, replaced)
    assert balances(url) == [8]


def test_table_that_the_backup_lacks_is_dropped(url: str, tmp_path: Path) -> None:
    payment = database(url, tmp_path)
    execute(url, "DROP TABLE schema_version; DROP TABLE top_ups")
    backup = payment.back_up(tmp_path)
    asyncio.run(open_as("payment", url))
    execute(url, "INSERT INTO top_ups VALUES ('t', 'c', 1, 'BOOKED', now(), now(), NULL)")
    restore(payment, backup)
    with pytest.raises(psycopg.errors.UndefinedTable):
        execute(url, "SELECT * FROM top_ups")
    asyncio.run(open_as("payment", url))  # and the service can open it
    assert balances(url) == [7]


def test_backup_of_another_service_is_refused(url: str, server: str, tmp_path: Path) -> None:
    for number, versioned in enumerate((True, False)):
        other = create_database(server, f"coupon_{number}")
        asyncio.run(open_as("coupon", other, versioned=versioned))
        backup = database(other, tmp_path, "coupon").back_up(tmp_path / str(number))
        with pytest.raises(StackError, match="is not of the payment service"):
            restore(database(url, tmp_path), backup)
    assert balances(url) == [7]


def test_truncated_backup_is_refused(url: str, tmp_path: Path) -> None:
    payment = database(url, tmp_path)
    backup = payment.back_up(tmp_path)
    content = backup.read_bytes()
    for size in (0, 100, len(content) - 100):
        backup.write_bytes(content[:size])
        with pytest.raises(StackError) as refused:
            restore(payment, backup)
        assert "\n" not in str(refused.value)
    assert balances(url) == [7]


def test_backup_of_a_newer_version_is_refused(url: str, tmp_path: Path) -> None:
    payment = database(url, tmp_path)
    execute(url, "UPDATE schema_version SET version = 99")
    written = participant.history.version
    with pytest.raises(StackError, match=f"has schema version 99, and this code writes {written}"):
        payment.back_up(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_database_in_use_is_not_replaced(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_CLOSING_SECONDS", 0.1)
    payment = database(url, tmp_path)
    backup = payment.back_up(tmp_path)
    with (
        psycopg.connect(url.replace("+psycopg", "")),
        pytest.raises(StackError, match=r"1 connections .* stop every instance of payment"),
    ):
        restore(payment, backup)
