"""How long a participant lingers before it takes its next batch: not at all when it is quiet.

Without it every event is a batch of its own until small batches have used up all cores, and waiting
for a core then takes longer than lingering would have (decision 20). Kafka's producer calls the
same `linger.ms`.
"""

DUTY_CYCLE = 1 / 3
"""A busy participant spends this share of its time on small batches, and lingers otherwise."""

BURST_SECONDS = 0.02
"""The time that it can save up while it is quiet: a few batches in a row then begin at once."""

MAX_LINGER_SECONDS = 0.005


class Linger:
    """A leaky bucket of the time that batches take (GCRA, ITU-T I.371). Times are in seconds."""

    def __init__(self) -> None:
        self._due_at = 0.0
        self._began_at: float | None = None

    def linger_seconds(self, now: float) -> float:
        """How long to wait before the next batch."""
        return max(0.0, self._due_at - now)

    def batch_began(self, now: float) -> None:
        self._began_at = now

    def batch_ended(self, now: float) -> None:
        """Count the time since the batch began, if one did."""
        if self._began_at is None:
            return
        took_seconds = now - self._began_at
        due_at = max(self._due_at, self._began_at - BURST_SECONDS) + took_seconds / DUTY_CYCLE
        self._due_at = min(due_at, now + MAX_LINGER_SECONDS)
        self._began_at = None
