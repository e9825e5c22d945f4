"""A service's database: one writer with short transactions, and readers beside it.

Everything that changes state goes through the writer (`chassis/storage/writer.py`). HTTP reads use
the async engine and never wait for the writer.
"""

import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TypeVar

from sqlalchemy import Connection, MetaData, inspect, make_url, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from chassis.storage import postgres, sqlite
from chassis.storage.writer import Writer
from saga.errors import ConfigurationError, Outage, RetryLater

log = logging.getLogger(__name__)

T = TypeVar("T")

READERS = 4

_WRITING_DRIVER = {
    "sqlite+aiosqlite": "sqlite+pysqlite",
    "postgresql+asyncpg": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
    "postgresql+psycopg_async": "postgresql+psycopg",
}
"""The synchronous twin of each async driver, for the writer."""

_OUTAGES = (
    OperationalError,
    InterfaceError,
    PoolTimeoutError,
    ConnectionError,
)


class Database:
    """`url` is an async SQLAlchemy URL, `sqlite+aiosqlite:///...` or `postgresql+psycopg://...`.

    Raises ConfigurationError when the URL names a driver that has no synchronous twin here.
    """

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        if parsed.drivername not in _WRITING_DRIVER:
            known = ", ".join(_WRITING_DRIVER)
            raise ConfigurationError(f"database driver {parsed.drivername!r}: use one of {known}")
        writing_url = parsed.set(drivername=_WRITING_DRIVER[parsed.drivername])
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        if self.is_sqlite:
            engine = sqlite.writing_engine(writing_url)
            self._writer = Writer(engine, sqlite.FileLock(parsed))
        else:
            engine = postgres.writing_engine(writing_url)
            self._writer = Writer(engine, None)
        driver = engine.dialect.loaded_dbapi  # compiled statements raise the driver's own errors
        self._outages = (*_OUTAGES, driver.OperationalError, driver.InterfaceError)
        self._reader = create_async_engine(
            parsed, pool_size=READERS, max_overflow=READERS, pool_pre_ping=not self.is_sqlite
        )
        if self.is_sqlite:
            sqlite.prepare_readers(self._reader)

    async def run(self, work: Callable[[Connection], T], *, messages: int | None = None) -> T:
        """Run `work` in one transaction, in its turn, and commit. Returns what it returns.

        `messages`: the size of the batch, if it is one. Raises what `work` raises, and Outage when
        nothing was kept and the same may succeed later.
        """
        try:
            return await self._writer.run(work, messages=messages)
        except self._outages as error:
            raise Outage(str(error.__cause__ or error)) from error
        except DBAPIError as error:
            if error.connection_invalidated:
                raise Outage(str(error)) from error
            raise

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection that sees what was committed and can't write. Raises RetryLater."""
        try:
            async with self._reader.connect() as connection:
                yield connection
        except _OUTAGES as error:
            log.warning("the database can't be read", extra={"error": str(error)})
            raise RetryLater("the database can't be read at the moment; try again") from error

    async def create(self, *schemas: MetaData, statements: Iterable[str] = ()) -> None:
        """Create the missing tables, then run the statements.

        Several instances may do this at once. Raises ConfigurationError when a table is of another
        version.
        """

        def create(connection: Connection) -> None:
            if not self.is_sqlite:
                postgres.lock_schema(connection)
            for schema in schemas:
                schema.create_all(connection)
                _check_columns(connection, schema)
            for statement in statements:
                connection.execute(text(statement))

        await self.run(create)

    async def close(self) -> None:
        """Finish the transactions that wait, and close all connections."""
        await self._reader.dispose()
        await self._writer.close()


def _check_columns(connection: Connection, schema: MetaData) -> None:
    """An existing table may be older than this code: refuse it before it is used."""
    inspector = inspect(connection)
    for table in schema.sorted_tables:
        there = {column["name"] for column in inspector.get_columns(table.name)}
        expected = {column.name for column in table.columns}
        if missing := sorted(expected - there):
            raise ConfigurationError(
                f"another version created the database: its table {table.name} has no "
                f"{', '.join(missing)}. There are no migrations before 1.0: start with an empty "
                "database (of the local stack: make reset)"
            )
