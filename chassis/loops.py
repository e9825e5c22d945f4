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

    def start(self, loops: Iterable[Coroutine[Any, Any, None]]) -> None:
        self._tasks = [asyncio.create_task(loop) for loop in loops]
        for task in self._tasks:
            task.add_done_callback(_stop_the_process)

    @property
    def all_run(self) -> bool:
        return bool(self._tasks) and not any(task.done() for task in self._tasks)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _stop_the_process(task: asyncio.Task[None]) -> None:
    if task.cancelled():
        return
    error = task.exception()
    if isinstance(error, ConfigurationError):
        log.critical("%s; stopping", error.message)
    else:
        log.critical("a loop of the service has ended; stopping", exc_info=error)
    signal.raise_signal(signal.SIGTERM)
