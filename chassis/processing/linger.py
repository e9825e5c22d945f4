"""How soon a service begins its next batch: at once when it is quiet, later when it is busy.

Where nothing waits for anything, every event is a batch of its own until all cores are used up by
small batches, and the wait for a core is then longer than a rest would have been (decision 20).
"""

DUTY_CYCLE = 1 / 3
"""Of its time a busy service spends so much on small batches, and rests otherwise."""

BURST_SECONDS = 0.02
"""So much time of quiet it can save up: a few batches in a row then begin at once."""

MAX_LINGER_SECONDS = 0.005


class Linger:
    """A leaky bucket of the time that batches take (GCRA, ITU-T I.371). Times are in seconds."""

    def __init__(self) -> None:
        self._due_at = 0.0

    def linger_seconds(self, now: float) -> float:
        """How long to wait before the next batch."""
        return max(0.0, self._due_at - now)

    def worked(self, began_at: float, ended_at: float) -> None:
        """Take note of a batch."""
        due_at = max(self._due_at, began_at - BURST_SECONDS) + (ended_at - began_at) / DUTY_CYCLE
        self._due_at = min(due_at, ended_at + MAX_LINGER_SECONDS)
