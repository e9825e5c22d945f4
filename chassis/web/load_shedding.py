"""Load shedding: under overload, no more work is admitted than is completed.

A service that accepts work faster than it completes it spends its time on accepting, and everybody
waits. The sign of it is the completion latency: when the median of the work that has just ended
took too long, more is admitted than is completed. Then less is admitted than ended lately, the less
the longer it took, until the backlog is worked off. Once nothing has to be rejected any more,
everything is admitted.

The median, for under overload too some work fails early, before it reaches the queues; and without
one, some waits for an external system.

While nothing ends there is no latency: a broker that is away causes no rejections.
"""

from collections.abc import Callable, Sequence
from math import inf
from statistics import median_low
from time import monotonic

WINDOW_SECONDS = 0.5
BUSY_PER_SECOND = 100.0
"""Fewer completions than this a second are no sign of overload, however long they took; so many may
always be admitted."""

RECOVERY_FACTOR = 1.1
FAST_RECOVERY_FACTOR = 2.0
"""How much is admitted for each completion once the median is short enough again, as long as work
is rejected; and once it is below half of the limit."""


class LoadShedder:
    """Admission control for one kind of work.

    `overload_latency_seconds`: a longer median, from admission to completion, is overload. 0: none
    is.

    `max_per_second`: no more than this is admitted in any case; 0: any number.
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
        self._adapted_per_second: float | None = None
        self._window_began_at = self._filled_at = clock()
        self._tokens = self._capacity
        self._latencies_seconds: list[float] = []
        self._has_rejected = False

    @property
    def per_second(self) -> float | None:
        """How many are admitted a second now; None: all."""
        limits = (self._adapted_per_second, self._max_per_second)
        return min((each for each in limits if each is not None), default=None)

    def record(self, latencies_seconds: Sequence[float]) -> None:
        """Count work that has ended, by its completion latency."""
        self._end_window()
        self._latencies_seconds += latencies_seconds

    def admit(self) -> bool:
        """Whether one more is admitted; it is counted then."""
        self._end_window()
        limit = self.per_second
        if limit is None:
            return True
        now = self._clock()
        self._tokens = min(self._tokens + (now - self._filled_at) * limit, self._capacity)
        self._filled_at = now
        if self._tokens < 1:
            self._has_rejected = True
            return False
        self._tokens -= 1
        return True

    @property
    def _capacity(self) -> float:
        """How many are admitted at the same moment."""
        limit = self.per_second
        return inf if limit is None else max(1.0, limit * WINDOW_SECONDS)

    def _end_window(self) -> None:
        """Once a window is over, set the limit of the next one by what ended in it."""
        now = self._clock()
        seconds = now - self._window_began_at
        if seconds < WINDOW_SECONDS:
            return
        ended_per_second = len(self._latencies_seconds) / seconds
        overload = self._overload_ratio()
        if overload > 1 and ended_per_second >= BUSY_PER_SECOND:
            self._adapted_per_second = max(ended_per_second / overload, BUSY_PER_SECOND)
        elif self._adapted_per_second is not None:
            factor = RECOVERY_FACTOR if overload > 0.5 else FAST_RECOVERY_FACTOR
            is_needed = self._has_rejected and self._latencies_seconds
            self._adapted_per_second = factor * ended_per_second if is_needed else None
        self._tokens = min(self._tokens, self._capacity)
        self._window_began_at, self._latencies_seconds, self._has_rejected = now, [], False

    def _overload_ratio(self) -> float:
        """The median latency by the limit; 0 where that is not known."""
        if not self._overload_latency_seconds or not self._latencies_seconds:
            return 0
        return median_low(self._latencies_seconds) / self._overload_latency_seconds
