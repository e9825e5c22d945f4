"""A service's database: one writer with short transactions, and readers beside it.

Everything that changes state goes through the writer (`chassis/storage/writer.py`). HTTP reads use
the async engine and never wait for the writer.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TypeVar

from sqlalchemy import URL, Connection, MetaData, make_url, text
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from chassis.observability.outage_log import OutageLog
from chassis.storage import postgres, sqlite
from chassis.storage.migrations import NEW, SchemaHistory, check_columns, rewrite_stamp
from chassis.storage.outages import OutageErrors
from chassis.storage.writer import Writer
from saga.errors import ConfigurationError, Outage, RetryLater

log = logging.getLogger(__name__)

T = TypeVar("T")

READERS = 4

WATCH_SECONDS = 1.0

_WRITING_DRIVER = {
    "sqlite+aiosqlite": "sqlite+pysqlite",
    "postgresql+asyncpg": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
    "postgresql+psycopg_async": "postgresql+psycopg",
}
"""The synchronous twin of each async driver, for the writer."""


class Database:
    """`url` is an async SQLAlchemy URL, `sqlite+aiosqlite:///...` or `postgresql+psycopg://...`.

    `sqlite+aiosqlite:///...?autocheckpoint=0` where another process checkpoints (Litestream).

    Raises ConfigurationError when the URL names a driver that has no synchronous twin here.
    """

    def __init__(self, url: str) -> None:
        parsed, options = sqlite.split_options(_parsed(url))
        if parsed.drivername not in _WRITING_DRIVER:
            known = ", ".join(_WRITING_DRIVER)
            raise ConfigurationError(f"database driver {parsed.drivername!r}: use one of {known}")
        writing_url = parsed.set(drivername=_WRITING_DRIVER[parsed.drivername])
        self._file: sqlite.File | None = None
        self._is_stamped = False
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        if self.is_sqlite:
            engine = sqlite.writing_engine(writing_url, options)
            self._writer = Writer(engine, sqlite.FileLock(parsed))
            self._file = sqlite.File(parsed)
        else:
            parsed, writing_url = map(postgres.with_timeouts, (parsed, writing_url))
            engine = postgres.writing_engine(writing_url)
            self._writer = Writer(engine, None)
        self._outages = OutageErrors(engine.dialect.loaded_dbapi)
        self._writes, self._reads = (
            OutageLog("writing to the database"),
            OutageLog("reading the database"),
        )
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
        if self._writes.lasts:
            work = self._with_probe(work)
        try:
            result = await self._writer.run(work, messages=messages)
        except Exception as error:
            if not self._outages.include(error):
                raise
            self._writes.failed(_reason(error))
            raise Outage(_reason(error)) from error
        self._writes.ended()
        if self._file is not None and self._file.is_lost:
            raise Outage(self._file.loss)  # what was just written is lost with the file
        return result

    @property
    def writes(self) -> bool:
        """False while an outage lasts in which it can't be written."""
        return not self._writes.lasts

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection that sees what was committed and can't write. Raises RetryLater."""
        if self._file is not None and self._file.is_lost:
            raise RetryLater(self._file.loss)
        try:
            async with self._reader.connect() as connection:
                yield connection
        except Exception as error:
            if not self._outages.include(error):
                raise
            self._reads.failed(_reason(error))
            raise RetryLater("the database can't be read at the moment; try again") from error
        self._reads.ended()

    async def create(
        self,
        *schemas: MetaData,
        history: SchemaHistory | None = None,
        statements: Iterable[str] = (),
    ) -> None:
        """Create the missing tables, upgrade an older database, then run the statements.

        All in one transaction, and one instance after the other. Without a history the database has
        no owner and no version. Raises Outage while it is away, and ConfigurationError when it is
        corrupt or another service's, or of a version or encoding on which this code can't work.
        """

        if self._file is not None:
            await asyncio.to_thread(self._file.check)

        def create(connection: Connection) -> int:
            if not self.is_sqlite:
                postgres.lock_schema(connection)
            found = history.find_version(connection) if history else NEW
            is_newer = history is not None and found > history.version
            for schema in schemas:
                schema.create_all(connection)
            if history:
                history.upgrade(connection, found)
            for schema in schemas:
                check_columns(connection, schema, is_newer=is_newer)
            for statement in statements:
                connection.execute(text(statement))
            return found

        self._is_stamped = history is not None
        found = await self.run(create)
        if self._file is not None:
            self._file.remember()
        if history:
            _log_version(history, found)

    def _with_probe(self, work: Callable[[Connection], T]) -> Callable[[Connection], T]:
        """Work that only reads succeeds in an outage: the end of it is known by a write."""

        def work_and_write(connection: Connection) -> T:
            result = work(connection)
            if self._is_stamped:
                rewrite_stamp(connection)
            return result

        return work_and_write

    async def watch(self) -> None:
        """Raises ConfigurationError once the file is lost; on PostgreSQL it never ends."""
        while self._file is None or not self._file.is_lost:
            await asyncio.sleep(WATCH_SECONDS)
        raise ConfigurationError(self._file.loss)

    async def close(self) -> None:
        """Finish the transactions that wait, and close all connections."""
        await self._reader.dispose()
        await self._writer.close()


def _parsed(url: str) -> URL:
    try:
        return make_url(url)
    except (ArgumentError, ValueError) as error:  # the URL may hold a password: not shown
        known = "sqlite+aiosqlite:///... or postgresql+psycopg://..."
        raise ConfigurationError(f"the database's URL is malformed: use {known}") from error


def _reason(error: Exception) -> str:
    """The driver's sentence, in one line, without the statement and its values."""
    return " ".join(str(getattr(error, "orig", None) or error).split()) or repr(error)


def _log_version(history: SchemaHistory, found: int) -> None:
    versions = {"found": found, "version": history.version}
    if found == NEW:
        log.info("the database was empty: its tables are created", extra=versions)
    elif found < history.version:
        log.info("the database is upgraded", extra=versions)
    elif found > history.version:
        log.warning("the database is of a newer version, with additions only", extra=versions)
