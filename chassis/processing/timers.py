"""What becomes due with time: deadlines, and external calls that were lost.

A timer looks for what is due and hands it to the mailbox as commands. Several instances may find
the same: the command checks the row again, under its lock, and the second one changes nothing.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from datetime import datetime
from typing import Any, Protocol

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from saga.errors import RetryLater

log = logging.getLogger(__name__)

Reading = Callable[[], AbstractAsyncContextManager[AsyncConnection]]


class Find(Protocol):
    """The commands that are due now; a bounded number of them."""

    async def __call__(
        self, connection: AsyncConnection, now: datetime, settings: Any, /
    ) -> Sequence[object]: ...


class Timer(msgspec.Struct, frozen=True):
    find: Find
    every_seconds: float = 1.0


async def watch(
    timer: Timer,
    reading: Reading,
    clock: Callable[[], datetime],
    settings: object,
    ask: Callable[[object], Awaitable[object]],
) -> None:
    """Hand what is due to the mailbox, until cancelled. What can't be done now is found again."""
    while True:
        await asyncio.sleep(timer.every_seconds)
        with suppress(RetryLater):
            async with reading() as connection:
                due = await timer.find(connection, clock(), settings)
            ends = await asyncio.gather(*map(ask, due), return_exceptions=True)
            for end in ends:
                if isinstance(end, Exception) and not isinstance(end, RetryLater):
                    log.error("a command that was due failed", exc_info=end)
