"""A service's database: made once, not used when another version made it, back after an error."""

import asyncio
import fcntl
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, Table, text

from chassis.storage import sqlite, writer
from chassis.storage.database import Database
from saga.errors import ConfigurationError, Outage


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
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_SECONDS", 0.05)
    monkeypatch.setattr(writer, "QUICK_SECONDS", 60)  # however slow the machine is
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


def where(connection: Connection) -> int:
    """The thread that it is done in."""
    add(connection)
    return threading.get_ident()


HERE = threading.get_ident()


async def test_a_small_transaction_is_done_where_it_is_asked_for(things: Database) -> None:
    assert await things.run(where) != HERE
    assert await things.run(where, messages=1) == HERE
    assert await things.run(where) != HERE
    assert await things.run(count, messages=1) == 3


async def test_a_small_transaction_waits_for_its_turn_elsewhere(things: Database) -> None:
    may_end = threading.Event()

    def slow(connection: Connection) -> int:
        may_end.wait(10)
        return count(connection)

    first = asyncio.create_task(things.run(slow))
    second = asyncio.create_task(things.run(where, messages=1))
    for _ in range(20):  # turns of the loop: more than it would take to overtake
        await asyncio.sleep(0)
    assert not second.done()
    may_end.set()
    assert await first == 0
    assert await second != HERE


async def test_a_small_transaction_waits_elsewhere_for_another_process(
    things: Database, tmp_path: Path
) -> None:
    with (tmp_path / "things.db.writer").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        lets_go = threading.Timer(2, fcntl.flock, (other, fcntl.LOCK_UN))
        lets_go.start()  # for a loop that stands still would never get here again
        waiting = asyncio.create_task(things.run(where, messages=1))
        for _ in range(20):  # the loop turns, though the other one keeps the lock
            await asyncio.sleep(0)
        assert not waiting.done()
        lets_go.cancel()
        lets_go.join()
    assert await waiting != HERE


async def test_on_a_slow_disk_the_event_loop_does_not_wait(
    things: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "QUICK_SECONDS", 0)
    assert await things.run(where, messages=1) == HERE
    assert await things.run(where, messages=1) != HERE
    monkeypatch.setattr(writer, "QUICK_SECONDS", 60)
    assert await things.run(where, messages=1) != HERE, "the last one was slow"
    assert await things.run(where, messages=1) == HERE


async def test_of_a_small_transaction_that_raises_nothing_stays(things: Database) -> None:
    def breaks(connection: Connection) -> None:
        assert where(connection) == HERE
        raise ValueError("in the middle")

    with pytest.raises(ValueError, match="in the middle"):
        await things.run(breaks, messages=1)
    assert await things.run(count) == 0
