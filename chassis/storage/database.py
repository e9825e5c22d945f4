"""A service's database: one writer with short transactions, and readers beside it.

Everything that changes state runs over one synchronous connection, one transaction after the other:
in a thread of its own, and a small one on a quick disk right where it is asked for, for the hop
between threads would take longer (decision 2). Reads of the HTTP routes go through the async engine
and never wait for the writer.
"""

import fcntl
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    MetaData,
    create_engine,
    event,
    inspect,
    make_url,
    text,
)
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from chassis.storage.writer import WritingThread
from saga.errors import ConfigurationError, Outage, RetryLater

log = logging.getLogger(__name__)

T = TypeVar("T")

BUSY_TIMEOUT_SECONDS = 0.5
QUICK_SECONDS = 0.05
"""When a transaction took longer, the next one does not keep the event loop waiting."""

READERS = 4

_WRITING_DRIVER = {
    "sqlite+aiosqlite": "sqlite+pysqlite",
    "postgresql+asyncpg": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
    "postgresql+psycopg_async": "postgresql+psycopg",
}
"""The synchronous twin of each async driver, for the writing thread."""

_OUTAGES = (
    OperationalError,
    InterfaceError,
    PoolTimeoutError,
    ConnectionError,
    sqlite3.OperationalError,  # of a BEGIN, which goes past SQLAlchemy
)

_SCHEMA_LOCK = 0x5A6A
"""Key of the PostgreSQL advisory lock under which instances create tables one after another."""


class Database:
    """`url` is an async SQLAlchemy URL, `sqlite+aiosqlite:///...` or `postgresql+psycopg://...`.

    Raises ConfigurationError when the URL names a driver that has no synchronous twin here.
    """

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        if parsed.drivername not in _WRITING_DRIVER:
            known = ", ".join(_WRITING_DRIVER)
            raise ConfigurationError(f"database driver {parsed.drivername!r}: use one of {known}")
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        self._writer = _writing_engine(parsed.set(drivername=_WRITING_DRIVER[parsed.drivername]))
        self._reader = create_async_engine(
            parsed, pool_size=READERS, max_overflow=READERS, pool_pre_ping=not self.is_sqlite
        )
        if self.is_sqlite:
            event.listen(self._reader.sync_engine, "connect", _prepare_sqlite_reader)
        self._connection: Connection | None = None
        self._turn = _Turn(parsed) if self.is_sqlite else None
        self._was_quick = False
        self._thread = WritingThread()

    async def run(self, work: Callable[[Connection], T], *, is_small: bool = False) -> T:
        """Run `work` in one transaction, in its turn, and commit. Raises Outage to try later.

        What `is_small` is done at once, in the calling thread, where that will not take long.
        """
        if is_small and self._will_be_quick():
            return self.write(work)
        return await self._thread.run(lambda: self.write(work))

    def _will_be_quick(self) -> bool:
        return (
            self._turn is not None
            and self._was_quick
            and self._thread.is_idle
            and self._turn.take_if_free()
        )

    def write(self, work: Callable[[Connection], T]) -> T:
        """The same, in the calling thread, while nothing else is being written."""
        began_at = perf_counter()
        try:
            with self._turn or nullcontext(), self._transaction() as connection:
                return work(connection)
        except _OUTAGES as error:
            raise Outage(str(error.__cause__ or error)) from error
        except DBAPIError as error:
            if error.connection_invalidated:
                raise Outage(str(error)) from error
            raise
        finally:
            self._was_quick = perf_counter() - began_at < QUICK_SECONDS

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection that sees what was committed and can't write. Raises RetryLater."""
        try:
            async with self._reader.connect() as connection:
                yield connection
        except _OUTAGES as error:
            log.warning("the database can't be read", extra={"error": str(error)})
            raise RetryLater("the database can't be read at the moment; try again") from error

    async def create(self, *schemas: MetaData) -> None:
        """Make the tables that are missing. Several instances may do this at once.

        Raises ConfigurationError when there are some of another version.
        """

        def make(connection: Connection) -> None:
            if not self.is_sqlite:
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_SCHEMA_LOCK})"))
            for schema in schemas:
                schema.create_all(connection)
                _check_columns(connection, schema)

        await self.run(make)

    async def close(self) -> None:
        await self._reader.dispose()
        await self._thread.close(self._close_writer)

    def _close_writer(self) -> None:
        self._let_go()
        self._writer.dispose()

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """One after the other on one connection: to ask the pool for it costs more than to begin.

        After an error it is given up, whatever state it may be in.
        """
        connection = self._connection = self._connection or self._writer.connect()
        try:
            with connection.begin():
                yield connection
        except BaseException:
            self._let_go()
            raise

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class _Turn:
    """One writing connection to a SQLite file at a time, over all processes.

    SQLite up to 3.51.2 can corrupt its write-ahead log when two connections write or checkpoint at
    once (sqlite.org/wal.html, "The WAL-Reset Bug"). The kernel gives the lock back when we die.
    """

    def __init__(self, url: URL) -> None:
        path = Path(url.database or "")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = Path(f"{path}.writer").open("wb")  # noqa: SIM115 - open as long as we live

    def __enter__(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_EX)  # which may be ours already

    def take_if_free(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def __exit__(self, *_: object) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)


def _writing_engine(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        engine = create_engine(url, pool_size=1, max_overflow=0, paramstyle="format")
        event.listen(engine, "connect", _prepare_postgres_writer)
        return engine
    engine = create_engine(
        url, pool_size=1, max_overflow=0, connect_args={"timeout": BUSY_TIMEOUT_SECONDS}
    )
    event.listen(engine, "connect", _prepare_sqlite_writer)
    event.listen(engine, "begin", _begin_immediate)
    return engine


def _check_columns(connection: Connection, schema: MetaData) -> None:
    """A table that was there already may be older than this code: say so before it is used."""
    inspector = inspect(connection)
    for table in schema.sorted_tables:
        there = {column["name"] for column in inspector.get_columns(table.name)}
        if missing := sorted(set(table.columns.keys()) - there):
            raise ConfigurationError(
                f"the database was made by another version: its table {table.name} has no "
                f"{', '.join(missing)}. There are no migrations before 1.0: start with an empty "
                "database (of the local stack: make reset)"
            )


def _prepare_postgres_writer(connection: Any, _: object) -> None:
    # A batch finds its rows by index. PostgreSQL takes a table that is young for an empty one, and
    # would keep to a plan that reads all of it until it next counts the rows.
    connection.execute("SET enable_seqscan = off")
    connection.commit()


def _prepare_sqlite_writer(connection: Any, _: object) -> None:
    connection.isolation_level = None  # the driver would begin late, and only for some statements
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: Connection) -> None:
    # A transaction that begins by reading and then writes fails at once when another one wrote.
    driver: Any = connection.connection.dbapi_connection
    driver.execute("BEGIN IMMEDIATE")


def _prepare_sqlite_reader(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    for pragma in ("query_only=ON", "wal_autocheckpoint=0"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
