"""The writer: runs everything that changes a database, one transaction after the other.

It has one synchronous connection and one thread for it. A small transaction on a quick SQLite file
runs on the event loop itself, because the hop between threads would take longer (decision 2).
`Writer.run` is the one place that decides.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import perf_counter
from typing import Protocol, TypeVar

from sqlalchemy import Connection, Engine

T = TypeVar("T")

SMALL_BATCH = 32
"""A batch of up to so many messages is written in less time than another thread takes to begin."""

QUICK_SECONDS = 0.05
"""After a transaction that took longer, the next one does not run on the event loop."""


class Lock(Protocol):
    """Excludes every other writer of a database, in all processes."""

    def acquire(self) -> None: ...

    def try_acquire(self) -> bool: ...

    def release(self) -> None: ...

    def close(self) -> None: ...


class Writer:
    """`lock` is None for a database that takes several writers: then nothing runs on the loop."""

    def __init__(self, engine: Engine, lock: Lock | None) -> None:
        self._engine = engine
        self._lock = lock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._connection: Connection | None = None
        self._was_quick = False
        self._waiting = 0

    async def run(self, work: Callable[[Connection], T], *, messages: int | None = None) -> T:
        """Run `work` in a transaction, commit, and return what it returned.

        `messages`: the size of the batch, if it is one. Raises what `work` and the database raise.
        """
        is_small = messages is not None and messages <= SMALL_BATCH
        fits_the_loop = is_small and self._was_quick and not self._waiting
        if fits_the_loop and self._lock is not None and self._lock.try_acquire():
            try:
                return self._transact(work)
            finally:
                self._lock.release()
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, self._transact_in_turn, work)
        finally:
            self._waiting -= 1

    async def close(self) -> None:
        """Finish the transactions that wait, and close the connection."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)

    def _transact_in_turn(self, work: Callable[[Connection], T]) -> T:
        if self._lock is None:
            return self._transact(work)
        self._lock.acquire()
        try:
            return self._transact(work)
        finally:
            self._lock.release()

    def _transact(self, work: Callable[[Connection], T]) -> T:
        began_at = perf_counter()
        try:
            with self._begun() as connection:
                return work(connection)
        finally:
            self._was_quick = perf_counter() - began_at < QUICK_SECONDS

    @contextmanager
    def _begun(self) -> Iterator[Connection]:
        """A transaction on a connection that stays open: the pool's check costs more than a BEGIN.

        After an error the connection is replaced, because its state is unknown: one that was opened
        while the database was read-only stays read-only.
        """
        connection = self._connection = self._connection or self._engine.connect()
        try:
            with connection.begin():
                yield connection
        except BaseException:
            self._disconnect()
            raise

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()  # else the pool hands it out again
            connection.close()

    def _close(self) -> None:
        self._disconnect()
        self._engine.dispose()
        if self._lock is not None:
            self._lock.close()
