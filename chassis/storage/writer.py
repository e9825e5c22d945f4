"""The writing thread: takes one piece of work after another from the event loop.

`loop.run_in_executor` does the same, with two futures, three locks and a callback for each piece: a
tenth of the interpreter's time for a lone event. Here it is a queue and one future.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")

_Piece = tuple[Callable[[], Any], asyncio.Future[Any]]


class WritingThread:
    """Runs until it is closed; it does not keep a process alive that is told to end."""

    def __init__(self) -> None:
        self._pieces: SimpleQueue[_Piece | None] = SimpleQueue()
        self._begun = self._ended = 0
        self._thread = Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    @property
    def is_idle(self) -> bool:
        """Has all that it was given come to its end?"""
        return self._begun == self._ended

    async def run(self, work: Callable[[], T]) -> T:
        """Do this in its turn. Gives and raises what the work does.

        Work that is cancelled before its turn has come is not done.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._begun += 1
        self._pieces.put((work, future))
        return await future

    async def close(self, last: Callable[[], None]) -> None:
        """Do what waits, and this last; then end."""
        await self.run(last)
        self._pieces.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (piece := self._pieces.get()) is not None:
            work, future = piece
            settle = None if future.cancelled() else _settling(work, future)
            # Each of the two is counted by one thread alone; and this one before anybody is told,
            # for what he asks for next finds us idle then.
            self._ended += 1
            if settle is not None:
                _tell(future, settle)


def _settling(work: Callable[[], Any], future: asyncio.Future[Any]) -> Callable[[], None]:
    """Do it. Returns what tells of its end."""
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001 - the one who asked is told
        return partial(future.set_exception, error)
    return partial(future.set_result, result)


def _tell(future: asyncio.Future[Any], settle: Callable[[], None]) -> None:
    def in_the_loop() -> None:
        if not future.done():
            settle()

    loop = future.get_loop()
    if not loop.is_closed():
        loop.call_soon_threadsafe(in_the_loop)
