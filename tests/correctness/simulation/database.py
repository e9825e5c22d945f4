"""A service's database in the simulation: production SQL on SQLite in memory, in virtual time.

The database survives its processes, as a file does. A transaction runs in one step; a kill may come
before it, in its middle (nothing of it stays), or after the commit and before it returns.
"""

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection, MetaData, Result, create_engine
from sqlalchemy.pool import StaticPool

from chassis.storage import tables
from chassis.storage.database import Database
from saga.errors import Outage, RetryLater
from tests.correctness.simulation.loop import LIFE, Killed

T = TypeVar("T")

SLOW_SECONDS = 0.02
LOCKED = "database is locked"
FULL = "database or disk is full"


class Disk:
    """A service's data, and what is wrong with it at the moment.

    `kill_in` counts transactions down to the one in whose phase the process is killed, `raises`
    batches on which the code raises. `slow_seconds` is the longest that it waits for the disk.
    """

    def __init__(self, schema: MetaData) -> None:
        self.connection, self._driver = _connect()
        tables.metadata.create_all(self.connection)
        schema.create_all(self.connection)
        _, self._template = _connect()
        self._driver.backup(self._template)
        self.outage: str | None = None
        self.kill_in: tuple[int, str] | None = None
        self.raises = 0
        self.slow_seconds = SLOW_SECONDS

    def rows(self, query: str, *values: str) -> list[Any]:
        """The rows of a query."""
        return self._driver.execute(query, values).fetchall()

    def copy(self) -> sqlite3.Connection:
        """A backup of it, as SQLite's backup API makes one."""
        _, backup = _connect()
        self._driver.backup(backup)
        return backup

    def restore(self, backup: sqlite3.Connection) -> None:
        """Put a backup in its place."""
        backup.backup(self._driver)

    def wipe(self) -> None:
        """Empty it, for the next schedule."""
        self._template.backup(self._driver)
        self.calm()

    def calm(self) -> None:
        """Nothing is wrong with it any more."""
        self.outage = None
        self.kill_in = None
        self.raises = 0
        self.slow_seconds = SLOW_SECONDS

    def transact(self, work: Callable[[Connection], T], kill: Callable[[str], None]) -> T:
        """One transaction. Raises Killed where this is the one to die in."""
        phase = self._phase()
        if phase == "before":
            kill(phase)
        self._driver.execute("BEGIN")
        try:
            result = work(self.connection)
            self._write(phase, kill)
        except BaseException:
            self._driver.execute("ROLLBACK")
            raise
        self._driver.execute("COMMIT")
        if phase == "after":
            kill(phase)
        return result

    def _write(self, phase: str | None, kill: Callable[[str], None]) -> None:
        """What can go wrong before a commit: a full disk shows when a page is written."""
        if self.outage == FULL:
            raise Outage(FULL)
        if phase == "in":
            kill(phase)

    def _phase(self) -> str | None:
        if self.kill_in is None:
            return None
        left, phase = self.kill_in
        self.kill_in = (left - 1, phase) if left else None
        return None if left else phase


class SimulatedDatabase(Database):
    """Handed to a service instead of the real one."""

    def __init__(self, disk: Disk, chance: random.Random, on_kill: Callable[[str], None]) -> None:
        self.is_sqlite = True
        self._disk = disk
        self._chance = chance
        self._on_kill = on_kill
        self._turn_lock = asyncio.Lock()

    async def run(self, work: Callable[[Connection], T], *, messages: int | None = None) -> T:  # noqa: ARG002
        async with self._turn_lock:
            await self._pause()
            if self._disk.outage == LOCKED:
                raise Outage(LOCKED)
            result = self._disk.transact(work, self._kill)
            await self._pause()
            return result

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Any]:
        await self._pause()
        if self._disk.outage == LOCKED:
            raise RetryLater(LOCKED)
        yield _Reader(self._disk.connection)

    async def create(self, *_: MetaData, **__: Any) -> None:
        """The tables exist already."""
        await self._pause()

    async def watch(self) -> None:
        """A disk is not lost."""
        await asyncio.Event().wait()

    async def close(self) -> None:
        """The disk stays."""
        await self._pause()

    async def _pause(self) -> None:
        await asyncio.sleep(self._chance.random() * self._disk.slow_seconds)

    def _kill(self, phase: str) -> None:
        self._on_kill(phase)
        life = LIFE.get()
        raise Killed(life.name if life else phase)


class _Reader:
    """An async connection's interface on a connection that never waits."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def execute(self, statement: Any) -> Result[Any]:
        return self._connection.execute(statement)

    async def scalars(self, statement: Any, values: Any = None) -> Any:
        return self._connection.scalars(statement, values)


def _connect() -> tuple[Connection, sqlite3.Connection]:
    """A connection, and the driver's own: transactions are begun and ended by hand."""
    engine = create_engine(
        "sqlite+pysqlite://",
        poolclass=StaticPool,
        connect_args={"check_same_thread": False, "isolation_level": None},
    )
    connection = engine.connect()
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return connection, driver
