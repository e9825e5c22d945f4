"""A service's database: created once, refused if of another version, usable after an error."""

import asyncio
import errno
import fcntl
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, Table, make_url, text

from chassis.storage import sqlite, writer
from chassis.storage.database import Database
from saga.errors import ConfigurationError, Outage


def schema(*columns: str) -> MetaData:
    metadata = MetaData()
    ids = (Column(name, Integer, primary_key=name == "id") for name in columns)
    Table("things", metadata, *ids)
    return metadata


async def test_tables_are_created_once(tmp_path: Path) -> None:
    """It passes when the second call does not raise."""
    database = Database(f"sqlite+aiosqlite:///{tmp_path}/things.db")
    await database.create(schema("id", "size"))
    await database.create(schema("id", "size"), schema("id"))
    await database.close()


async def test_database_of_another_version_is_refused(tmp_path: Path) -> None:
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


async def test_locked_database_is_an_outage(things: Database, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "things.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for _ in range(2):
            with pytest.raises(Outage, match="database is locked"):
                await things.run(add)
        other.execute("ROLLBACK")
    await things.run(add)
    assert await things.run(count) == 1


async def test_read_only_database_is_an_outage_until_it_is_opened_again(things: Database) -> None:
    """SQLite opens a file on a read-only disk, and the connection stays so."""
    await things.run(lambda connection: connection.execute(text("PRAGMA query_only = ON")))
    with pytest.raises(Outage, match="attempt to write a readonly database"):
        await things.run(add)
    assert not things.writes
    await things.run(add)
    assert things.writes


async def test_work_that_raises_is_rolled_back(things: Database) -> None:
    def breaks(connection: Connection) -> None:
        add(connection)
        raise ValueError("in the middle")

    for _ in range(2):
        with pytest.raises(ValueError, match="in the middle"):
            await things.run(breaks)
    await things.run(add)
    assert await things.run(count) == 1


def add_and_get_thread(connection: Connection) -> int:
    add(connection)
    return threading.get_ident()


EVENT_LOOP = threading.get_ident()
"""The thread of the event loop."""


async def test_small_transaction_runs_on_the_event_loop(things: Database) -> None:
    assert await things.run(add_and_get_thread) != EVENT_LOOP
    assert await things.run(add_and_get_thread, messages=1) == EVENT_LOOP
    assert await things.run(add_and_get_thread, messages=writer.SMALL_BATCH) == EVENT_LOOP
    assert await things.run(add_and_get_thread, messages=writer.SMALL_BATCH + 1) != EVENT_LOOP
    assert await things.run(add_and_get_thread) != EVENT_LOOP
    assert await things.run(count, messages=1) == 5


async def test_small_transaction_waits_in_the_thread_behind_a_running_one(things: Database) -> None:
    may_end = threading.Event()

    def slow(connection: Connection) -> int:
        may_end.wait(10)
        return count(connection)

    first = asyncio.create_task(things.run(slow))
    second = asyncio.create_task(things.run(add_and_get_thread, messages=1))
    for _ in range(20):  # more turns of the loop than it takes to overtake
        await asyncio.sleep(0)
    assert not second.done()
    may_end.set()
    assert await first == 0
    assert await second != EVENT_LOOP


async def test_small_transaction_waits_in_the_thread_for_another_process(
    things: Database, tmp_path: Path
) -> None:
    with (tmp_path / "things.db.writer").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        release = threading.Timer(2, fcntl.flock, (other, fcntl.LOCK_UN))
        release.start()  # a blocked loop would never get here to release it
        waiting = asyncio.create_task(things.run(add_and_get_thread, messages=1))
        for _ in range(20):  # the loop turns while the other one has the lock
            await asyncio.sleep(0)
        assert not waiting.done()
        release.cancel()
        release.join()
    assert await waiting != EVENT_LOOP


async def test_slow_disk_does_not_block_the_event_loop_twice(
    things: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "QUICK_SECONDS", 0)
    assert await things.run(add_and_get_thread, messages=1) == EVENT_LOOP
    assert await things.run(add_and_get_thread, messages=1) != EVENT_LOOP
    monkeypatch.setattr(writer, "QUICK_SECONDS", 60)
    assert await things.run(add_and_get_thread, messages=1) != EVENT_LOOP, "the last one was slow"
    assert await things.run(add_and_get_thread, messages=1) == EVENT_LOOP


async def test_small_transaction_that_raises_is_rolled_back(things: Database) -> None:
    def breaks(connection: Connection) -> None:
        assert add_and_get_thread(connection) == EVENT_LOOP
        raise ValueError("in the middle")

    with pytest.raises(ValueError, match="in the middle"):
        await things.run(breaks, messages=1)
    assert await things.run(count) == 0


def test_file_lock_is_free_after_the_kernel_refused_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = sqlite.FileLock(make_url(f"sqlite:///{tmp_path}/things.db"))

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", refuse)
        for take in (lock.acquire, lock.try_acquire):
            with pytest.raises(OSError, match="no locks"):
                take()
    assert lock.try_acquire()
    assert not lock.try_acquire()
    lock.release()
    lock.close()


def find_autocheckpoint(connection: Connection) -> object:
    return connection.scalar(text("PRAGMA wal_autocheckpoint"))


async def test_another_process_may_be_the_one_that_checkpoints(tmp_path: Path) -> None:
    file = tmp_path / "things.db"
    for option, pages in (("", 1000), ("?autocheckpoint=0", 0)):
        database = Database(f"sqlite+aiosqlite:///{file}{option}")
        assert await database.run(find_autocheckpoint) == pages
        await database.close()
    with pytest.raises(ConfigurationError, match="use a number of pages"):
        Database(f"sqlite+aiosqlite:///{file}?autocheckpoint=no")
