"""Wrong passwords: each one lets the account, and the address that it came from, wait longer.

In memory, for each instance: a flood writes nothing into the database. Pure but for its own state.
"""

from collections import OrderedDict
from datetime import datetime, timedelta

import msgspec

from saga.errors import TooManyRequests

MAX_DELAY = timedelta(minutes=15)
FORGET_AFTER = timedelta(hours=1)
MAX_REMEMBERED = 100_000
FREE_FOR_ACCOUNT = 5
FREE_FOR_ADDRESS = 50
"""An address may be that of a whole company."""


class _Failures(msgspec.Struct):
    count: int
    last: datetime


class Tries:
    """The failures of accounts or of addresses. `free`: so many cost no delay.

    Beyond that the delay is a second, and doubles with each failure, to 15 minutes. An hour after
    the last failure all is forgotten.
    """

    def __init__(self, free: int) -> None:
        self._free = free
        self._failures: OrderedDict[str, _Failures] = OrderedDict()

    def check(self, key: str, now: datetime) -> None:
        """Raises TooManyRequests while the delay lasts."""
        found = self._failures.get(key)
        if found is None:
            return
        remaining = found.last + self._delay(found.count) - now
        if remaining > timedelta(0):
            seconds = -int(-remaining.total_seconds() // 1)
            raise TooManyRequests(
                f"too many tries; try again in {seconds} s",
                code="TOO_MANY_TRIES",
                retry_after_seconds=seconds,
            )

    def failed(self, key: str, now: datetime) -> None:
        found = self._failures.pop(key, None)
        count = found.count if found and now - found.last < FORGET_AFTER else 0
        self._failures[key] = _Failures(count + 1, now)
        while len(self._failures) > MAX_REMEMBERED:
            self._failures.popitem(last=False)

    def succeeded(self, key: str) -> None:
        self._failures.pop(key, None)

    def _delay(self, count: int) -> timedelta:
        if count < self._free:
            return timedelta(0)
        return min(MAX_DELAY, timedelta(seconds=2 ** min(count - self._free, 20)))
