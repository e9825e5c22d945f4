"""A service's database: made once, not used when another version made it, back after an error."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, Table, text

from infra import database as module
from infra.database import Database
from infra.errors import ConfigurationError, Outage


def schema(*columns: str) -> MetaData:
    made = MetaData()
    Table("things", made, *(Column(name, Integer, primary_key=name == "id") for name in columns))
    return made


async def test_tables_are_made_once(tmp_path: Path) -> None:
    database = Database(f"sqlite+aiosqlite:///{tmp_path}/things.db")
    await database.create(schema("id", "size"))
    await database.create(schema("id", "size"), schema("id"))
    await database.close()


async def test_a_database_of_another_version_is_refused(tmp_path: Path) -> None:
    database = Database(f"sqlite+aiosqlite:///{tmp_path}/things.db")
    await database.create(schema("id", "size"))
    with pytest.raises(ConfigurationError, match="table things has no colour, weight") as refused:
        await database.create(schema("id", "size", "weight", "colour"))
    assert "make reset" in refused.value.message
    await database.close()


@pytest.fixture
async def things(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    monkeypatch.setattr(module, "BUSY_TIMEOUT_SECONDS", 0.05)
    database = Database(f"sqlite+aiosqlite:///{tmp_path}/things.db")
    await database.create(schema("id"))
    yield database
    await database.close()


def add(connection: Connection) -> None:
    connection.execute(text("INSERT INTO things DEFAULT VALUES"))


def count(connection: Connection) -> int:
    return connection.scalar(text("SELECT count(*) FROM things")) or 0


async def test_a_database_that_another_has_locked_is_an_outage(
    things: Database, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(tmp_path / "things.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for _ in range(2):
            with pytest.raises(Outage, match="database is locked"):
                await things.run(add)
        other.execute("ROLLBACK")
    await things.run(add)
    assert await things.run(count) == 1


async def test_of_work_that_raises_nothing_stays(things: Database) -> None:
    def breaks(connection: Connection) -> None:
        add(connection)
        raise ValueError("in the middle")

    for _ in range(2):
        with pytest.raises(ValueError, match="in the middle"):
            await things.run(breaks)
    await things.run(add)
    assert await things.run(count) == 1
