"""SQLite: its connections, and the lock of its one writer."""

import fcntl
import logging
import sqlite3
import threading
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.ext.asyncio import AsyncEngine

from saga.errors import ConfigurationError

log = logging.getLogger(__name__)

BUSY_TIMEOUT_SECONDS = 0.5

CHECK_SECONDS = 10.0
"""How long the checks at the start may take. They read the whole file: of 1 GB `quick_check` takes
1.3 s from memory and 16 s from a disk, `integrity_check` 13 s and 29 s. `make backup` checks all of
it, however long that takes."""


class File:
    """The file of a database, which can be corrupt, and can be deleted while it is open."""

    def __init__(self, url: URL) -> None:
        self.path = Path(url.database or "")
        self._identity: tuple[int, int] | None = None

    def check(self) -> None:
        """Raises ConfigurationError when it can't be opened, is no database, or a corrupt one.

        A write-ahead log is left behind by a crash. If the file was replaced since, the two don't
        belong together, which often shows only when indexes are compared with their tables.
        """
        if not self.path.exists():
            return
        crashed = Path(f"{self.path}-wal").exists()
        pragmas = ("quick_check", "integrity_check") if crashed else ("quick_check",)
        with closing(self._connect()) as connection:
            over = threading.Event()
            limit = threading.Thread(target=_interrupt, args=(connection, over, CHECK_SECONDS))
            limit.start()
            try:
                for pragma in pragmas:
                    [[found]] = connection.execute(f"PRAGMA {pragma}(1)").fetchall()
                    if found != "ok":
                        raise self._corrupt(found)
            except sqlite3.OperationalError as error:
                if str(error) != "interrupted":
                    raise ConfigurationError(f"{self.path} can't be opened: {error}") from error
                log.warning("the database is too large to check all of it at the start")
            except sqlite3.DatabaseError as error:
                raise self._corrupt(str(error)) from error
            finally:
                over.set()
                limit.join()

    def remember(self) -> None:
        """From now on another file under the same path, or none, is a loss."""
        self._identity = self._find()

    @property
    def is_lost(self) -> bool:
        """The connections still read and write the file, but no new one will find it."""
        return self._identity is not None and self._find() != self._identity

    @property
    def loss(self) -> str:
        return f"the database {self.path} was deleted or replaced while the service ran"

    def _connect(self) -> sqlite3.Connection:
        # Read-only from the first byte on, because another instance may be writing.
        return sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False
        )

    def _corrupt(self, found: str) -> ConfigurationError:
        what = " ".join(found.split())
        return ConfigurationError(f"the database {self.path} is corrupt ({what}): restore a backup")

    def _find(self) -> tuple[int, int]:
        try:
            found = self.path.stat()
        except OSError:
            return 0, 0
        return found.st_dev, found.st_ino


def _interrupt(connection: sqlite3.Connection, over: threading.Event, seconds: float) -> None:
    """Interrupt what the connection executes, from then on until it is over.

    Again and again: an interrupt between two statements interrupts neither.
    """
    while not over.wait(seconds):
        connection.interrupt()
        seconds = min(seconds, 0.1)


class FileLock:
    """One writing connection to a SQLite file at a time, over all processes and threads.

    SQLite up to 3.51.2 can corrupt its write-ahead log when two connections write or checkpoint at
    once (sqlite.org/wal.html, "The WAL-Reset Bug"). The kernel releases the lock when its process
    ends. Raises ConfigurationError where the file can't be read and written.
    """

    def __init__(self, url: URL) -> None:
        path = Path(url.database or "")
        self._thread_lock = threading.Lock()  # flock() locks no other thread out of the same file
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = Path(f"{path}.writer").open("wb")  # noqa: SIM115 - open until `close`
            if path.exists():
                path.open("r+b").close()
        except OSError as error:
            raise ConfigurationError(f"the database can't be used: {error}") from error

    def acquire(self) -> None:
        """Wait for the lock. Raises OSError when the kernel refuses it."""
        self._thread_lock.acquire()
        self._lock_file(fcntl.LOCK_EX)

    def try_acquire(self) -> bool:
        """Take the lock if it is free. Raises OSError when the kernel refuses it."""
        if not self._thread_lock.acquire(blocking=False):
            return False
        try:
            self._lock_file(fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)
        self._thread_lock.release()

    def close(self) -> None:
        self._file.close()

    def _lock_file(self, operation: int) -> None:
        try:
            fcntl.flock(self._file, operation)
        except OSError:
            self._thread_lock.release()
            raise


def split_options(url: URL) -> tuple[URL, dict[str, int]]:
    """The URL without this file's option `autocheckpoint`, and the pragma that it sets.

    Raises ConfigurationError when the option is no number of pages.
    """
    pages = url.query.get("autocheckpoint")
    if pages is None:
        return url, {}
    if not isinstance(pages, str) or not pages.isdecimal():
        raise ConfigurationError(f"autocheckpoint={pages}: use a number of pages, 0 for never")
    return url.difference_update_query(["autocheckpoint"]), {"wal_autocheckpoint": int(pages)}


def writing_engine(url: URL, options: Mapping[str, int]) -> Engine:
    """`options` are pragmas of the connection."""
    engine = create_engine(
        url,
        pool_size=1,
        max_overflow=0,
        connect_args={"timeout": BUSY_TIMEOUT_SECONDS},
    )
    event.listen(engine, "connect", partial(_prepare_writer, options))
    event.listen(engine, "begin", _begin_immediate)
    return engine


def prepare_readers(engine: AsyncEngine) -> None:
    event.listen(engine.sync_engine, "connect", _prepare_reader)


def _prepare_writer(options: Mapping[str, int], connection: Any, _: object) -> None:
    connection.isolation_level = None  # the driver begins late, and only before some statements
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    for name, value in options.items():
        connection.execute(f"PRAGMA {name}={value}")


def _begin_immediate(connection: Connection) -> None:
    # A transaction that reads first fails at its first write when another one has written since.
    driver: Any = connection.connection.dbapi_connection
    driver.execute("BEGIN IMMEDIATE")


def _prepare_reader(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    for pragma in ("query_only=ON", "wal_autocheckpoint=0"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
