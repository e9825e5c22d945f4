"""What time brings about: deadlines, and errands that were lost.

A timer looks for what is due and hands it to the mailbox as commands. Several instances may find
the same: the reaction looks at the row again, under its lock, and the second finds nothing to do.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.settings import Settings


class Find(Protocol):
    """The commands that are due now; not too many at once."""

    async def __call__(
        self, connection: AsyncConnection, now: datetime, settings: Settings, /
    ) -> Sequence[object]: ...


class Timer(msgspec.Struct, frozen=True):
    find: Find
    every_seconds: float = 1.0
