"""How many are let in: no more than can be done, when more come.

Whoever takes work on faster than it is done spends its time on the door, and everybody waits. What
tells that this is so is the age of the work that has just ended: when half of it and more took
long, more is let in than comes out. Then fewer are admitted than ended lately, the fewer the later
it is, until what has piled up is worked off; and once nobody has to be turned away, everybody is
admitted.

Half of it, for in a crowd too some fail early, before they come to where the others wait; and
without one, some wait for a payment gateway.

Nothing is known to be late while nothing ends: a broker that is away closes no door.
"""

from collections.abc import Callable, Sequence
from math import inf
from statistics import median_low
from time import monotonic

WINDOW_SECONDS = 0.5
BUSY_PER_SECOND = 100.0
"""Fewer ends than this a second are no sign of a crowd, however old they are; so many may always
come in."""

OPEN_UP = 1.1
OPEN_WIDE = 2.0
"""Of what ended, how much is admitted once it is not late any more, as long as too many come; and
once it is not even half as late."""


class LoadShedder:
    """`overload_latency_seconds`: work that takes longer, from admission to its end, is late.

    0 turns that off.

    `max_per_second`: no more than this in any case; 0: any number.
    """

    def __init__(
        self,
        *,
        overload_latency_seconds: float,
        max_per_second: float,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._overload_latency_seconds = overload_latency_seconds
        self._max_per_second = max_per_second or None
        self._clock = clock
        self._adapted: float | None = None
        self._began_at = self._filled_at = clock()
        self._room = self._capacity
        self._ages_seconds: list[float] = []
        self._rejected = False

    @property
    def per_second(self) -> float | None:
        """How many are admitted now; None: all."""
        limits = [each for each in (self._adapted, self._max_per_second) if each is not None]
        return min(limits, default=None)

    def ended(self, ages_seconds: Sequence[float]) -> None:
        """Some have ended, that took so long each."""
        self._look()
        self._ages_seconds += ages_seconds

    def admits(self) -> bool:
        """Whether one more may come in; if so, it is counted."""
        self._look()
        limit = self.per_second
        if limit is None:
            return True
        now = self._clock()
        self._room = min(self._room + (now - self._filled_at) * limit, self._capacity)
        self._filled_at = now
        if self._room < 1:
            self._rejected = True
            return False
        self._room -= 1
        return True

    @property
    def _capacity(self) -> float:
        """How many may come at the same moment."""
        limit = self.per_second
        return inf if limit is None else max(1.0, limit * WINDOW_SECONDS)

    def _look(self) -> None:
        """At the end of a window, judge it and begin the next one."""
        now = self._clock()
        seconds = now - self._began_at
        if seconds < WINDOW_SECONDS:
            return
        ends_per_second = len(self._ages_seconds) / seconds
        overload_ratio = self._overload_ratio()
        if overload_ratio > 1 and ends_per_second >= BUSY_PER_SECOND:
            self._adapted = max(ends_per_second / overload_ratio, BUSY_PER_SECOND)
        elif self._adapted is not None:
            is_overloaded = self._rejected and self._ages_seconds
            more = OPEN_UP if overload_ratio > 0.5 else OPEN_WIDE
            self._adapted = more * ends_per_second if is_overloaded else None
        self._room = min(self._room, self._capacity)
        self._began_at, self._ages_seconds, self._rejected = now, [], False

    def _overload_ratio(self) -> float:
        """How many times as long as it may the median took; 0 where that is not known."""
        if not self._overload_latency_seconds or not self._ages_seconds:
            return 0
        return median_low(self._ages_seconds) / self._overload_latency_seconds
