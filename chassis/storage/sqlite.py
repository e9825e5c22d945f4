"""SQLite: its connections, and the lock of its one writer."""

import fcntl
import threading
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.ext.asyncio import AsyncEngine

BUSY_TIMEOUT_SECONDS = 0.5


class FileLock:
    """One writing connection to a SQLite file at a time, over all processes and threads.

    SQLite up to 3.51.2 can corrupt its write-ahead log when two connections write or checkpoint at
    once (sqlite.org/wal.html, "The WAL-Reset Bug"). The kernel releases the lock when its process
    ends.
    """

    def __init__(self, url: URL) -> None:
        path = Path(url.database or "")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._thread_lock = threading.Lock()  # flock() locks no other thread out of the same file
        self._file = Path(f"{path}.writer").open("wb")  # noqa: SIM115 - open until `close`

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


def writing_engine(url: URL) -> Engine:
    engine = create_engine(
        url,
        pool_size=1,
        max_overflow=0,
        connect_args={"timeout": BUSY_TIMEOUT_SECONDS},
    )
    event.listen(engine, "connect", _prepare_writer)
    event.listen(engine, "begin", _begin_immediate)
    return engine


def prepare_readers(engine: AsyncEngine) -> None:
    event.listen(engine.sync_engine, "connect", _prepare_reader)


def _prepare_writer(connection: Any, _: object) -> None:
    connection.isolation_level = None  # the driver begins late, and only before some statements
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: Connection) -> None:
    # A transaction that reads first fails at its first write when another one has written since.
    driver: Any = connection.connection.dbapi_connection
    driver.execute("BEGIN IMMEDIATE")


def _prepare_reader(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    for pragma in ("query_only=ON", "wal_autocheckpoint=0"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
