"""What the audit takes for being under way, and does not report."""

from datetime import datetime, timedelta

import msgspec


class Tolerance(msgspec.Struct, frozen=True, kw_only=True):
    """`began_at` is when the audit began; the rest is in seconds.

    `quiet_seconds`: an order that changed later than so long ago is not checked. `limit_seconds`:
    nothing may be under way for longer. `inbox_seconds`: how long an inbox keeps an event's id.
    `wait_seconds`: how long an order may wait for stock. `recovering`: a service in recovery mode,
    which publishes nothing, so that what waits for it may wait for any time.
    """

    began_at: datetime
    quiet_seconds: float
    limit_seconds: float
    inbox_seconds: float
    wait_seconds: float
    recovering: str | None = None

    def is_quiet(self, time: datetime) -> bool:
        return self._age_seconds(time) >= self.quiet_seconds

    def is_over(self, time: datetime) -> bool:
        return self._age_seconds(time) >= self.limit_seconds

    def may_wait(self, since: datetime) -> bool:
        return self._age_seconds(since) < self.wait_seconds + self.limit_seconds

    def may_be_removed(self, time: datetime, kept_seconds: float) -> bool:
        """Rows are kept for so long, 0: for ever. A tenth less: some go while the audit reads."""
        return bool(kept_seconds) and self._age_seconds(time) >= 0.9 * kept_seconds

    def age_text(self, time: datetime) -> str:
        return f"{self._age_seconds(time):.0f} s"

    def _age_seconds(self, time: datetime) -> float:
        return (self.began_at - time) / timedelta(seconds=1)
