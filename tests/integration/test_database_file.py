"""A SQLite file that is corrupt at the start, or lost while it is open."""

import asyncio
import shutil
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, text

from chassis.loops import Loops
from chassis.storage import sqlite
from chassis.storage.database import Database
from chassis.storage.migrations import SchemaHistory
from saga.errors import ConfigurationError, Outage, RetryLater
from tests.kit.stack import ROOT, free_port

METADATA = MetaData()
THINGS = Table(
    "things",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", String(40), index=True),
)
HISTORY = SchemaHistory("things", THINGS)


async def open_database(file: Path) -> Database:
    database = Database(f"sqlite+aiosqlite:///{file}")
    try:
        await database.create(METADATA, history=HISTORY)
    except ConfigurationError:
        await database.close()
        raise
    return database


def add(connection: Connection) -> None:
    connection.execute(text("INSERT INTO things (name) VALUES (hex(randomblob(16)))"))


def add_many(connection: Connection) -> None:
    for _ in range(1000):
        add(connection)


@pytest.fixture
async def things(tmp_path: Path) -> AsyncIterator[Database]:
    database = await open_database(tmp_path / "things.db")
    yield database
    await database.close()


# ---------------------------------------------------------------- at the start


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"no database at all" * 100, "not a database"), (None, "malformed|ends|invalid page")],
)
async def test_corrupt_file_is_refused(tmp_path: Path, content: bytes | None, found: str) -> None:
    file = tmp_path / "things.db"
    database = await open_database(file)
    await database.run(add_many)
    await database.close()
    file.write_bytes(content or file.read_bytes()[:8192])
    with pytest.raises(ConfigurationError, match=f"is corrupt .*({found})") as refused:
        await open_database(file)
    assert "\n" not in refused.value.message


async def test_file_with_the_log_of_another_one_is_refused(tmp_path: Path) -> None:
    """A backup is copied over a database that crashed, and the write-ahead log stays there."""
    file, crashed = tmp_path / "things.db", tmp_path / "crashed.db"
    database = await open_database(file)
    await database.run(add_many)
    with closing(sqlite3.connect(file)) as running:
        with closing(sqlite3.connect(tmp_path / "backup.db")) as backup:
            running.backup(backup)
        for _ in range(20):
            await database.run(add)
        running.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    await database.run(add)
    shutil.copy(tmp_path / "things.db-wal", tmp_path / "crashed.db-wal")
    await database.close()

    shutil.copy(tmp_path / "backup.db", crashed)

    with closing(sqlite3.connect(f"file:{crashed}?mode=ro", uri=True)) as connection:
        assert connection.execute("PRAGMA quick_check").fetchall() == [("ok",)]
    with pytest.raises(ConfigurationError, match=r"is corrupt .*missing from index"):
        await open_database(crashed)


async def test_file_after_a_crash_is_opened_with_its_newest_rows(tmp_path: Path) -> None:
    database = await open_database(tmp_path / "things.db")
    for _ in range(3):
        await database.run(add)
    for name in ("things.db", "things.db-wal"):
        shutil.copy(tmp_path / name, tmp_path / name.replace("things", "crashed"))
    await database.close()
    crashed = await open_database(tmp_path / "crashed.db")
    assert await crashed.run(lambda c: c.scalar(text("SELECT count(*) FROM things"))) == 3
    await crashed.close()


async def test_check_that_takes_too_long_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "things.db"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT)")
        rows = ((f"{n:0500}",) for n in range(200_000))
        connection.executemany("INSERT INTO things (name) VALUES (?)", rows)
    monkeypatch.setattr(sqlite, "CHECK_SECONDS", 0.0)
    await (await open_database(file)).close()
    assert "the database is too large to check all of it at the start" in caplog.messages


async def test_service_ends_with_one_line(tmp_path: Path) -> None:
    file = tmp_path / "payment.db"
    file.write_bytes(b"no database at all" * 100)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "payment"),
        cwd=ROOT,
        env={
            "PAYMENT_DATABASE_URL": f"sqlite+aiosqlite:///{file}",
            "PAYMENT_PORT": str(free_port()),
            "NATS_URL": "nats://127.0.0.1:1",
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    assert output.decode().splitlines() == [
        f"payment: the database {file} is corrupt (file is not a database): restore a backup"
    ]
    assert process.returncode == 1


# ---------------------------------------------------------------- while it is open


async def test_nothing_is_written_or_read_once_the_file_is_lost(
    things: Database, tmp_path: Path
) -> None:
    await things.run(add)
    (tmp_path / "things.db").unlink()
    with pytest.raises(Outage, match="was deleted or replaced"):
        await things.run(add)
    with pytest.raises(RetryLater, match="was deleted or replaced"):
        async with things.reading():
            pytest.fail("read from a file that is gone")


async def test_replaced_file_is_lost_too(things: Database, tmp_path: Path) -> None:
    file = tmp_path / "things.db"
    await (await open_database(tmp_path / "other.db")).close()
    (tmp_path / "other.db").rename(file)
    with pytest.raises(Outage, match="was deleted or replaced"):
        await things.run(add)


async def test_watch_ends_the_process_with_one_line(
    things: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    told = asyncio.Event()
    monkeypatch.setattr("signal.raise_signal", lambda _: told.set())
    loops = Loops()
    loops.start([things.watch()])
    (tmp_path / "things.db").unlink()
    await asyncio.wait_for(told.wait(), 5)
    [record] = caplog.records
    assert record.message.startswith(f"the database {tmp_path}/things.db was deleted or replaced")
    assert record.exc_info is None
    assert not loops.all_run
