"""The loops of a service: tasks that run until it stops, and none of which may end before."""

import asyncio
import logging
import signal
from collections.abc import Coroutine, Iterable
from typing import Any

from saga.errors import ConfigurationError

log = logging.getLogger(__name__)


class Loops:
    """A loop that ends by itself is a bug: half a service is worse than one that is restarted.

    So its process is told to stop (SIGTERM), and its supervisor starts it again. A loop that finds
    that the process can't go on raises ConfigurationError, whose message is logged alone.
    """

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []
        self._starting: asyncio.Task[None] | None = None

    def start(self, loops: Iterable[Coroutine[Any, Any, None]]) -> None:
        self._tasks = [asyncio.create_task(loop) for loop in loops]
        for task in self._tasks:
            task.add_done_callback(_stop_the_process)

    def start_later(self, starting: Coroutine[Any, Any, None]) -> None:
        """Begin what calls `start` in the end. It may fail like a loop."""
        self._starting = asyncio.create_task(starting)
        self._starting.add_done_callback(_stop_if_failed)

    @property
    def all_run(self) -> bool:
        """Also while they are not started yet."""
        if self._starting is not None and not self._starting.done():
            return True
        return bool(self._tasks) and not any(task.done() for task in self._tasks)

    async def stop(self) -> None:
        tasks = [*self._tasks, *([self._starting] if self._starting else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _stop_if_failed(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        _stop_the_process(task)


def _stop_the_process(task: asyncio.Task[None]) -> None:
    if task.cancelled():
        return
    error = task.exception()
    if isinstance(error, ConfigurationError):
        log.critical("%s; stopping", error.message)
    else:
        log.critical("a loop of the service has ended; stopping", exc_info=error)
    signal.raise_signal(signal.SIGTERM)
