"""When a stored time is due, also after a clock was wrong for a while.

A clock that was ahead and is right again leaves times that lie too far in the future. Waiting for
them could take years, so a time that no right clock can have set is due at once. What is due too
early is harmless: its handler decides on the row.
"""

from datetime import UTC, datetime, timedelta

CLOCK_TOLERANCE_SECONDS = 60
"""Clocks of different machines differ by less."""

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_END = datetime(9999, 12, 31, tzinfo=UTC)


def implausible_after(now: datetime, longest_seconds: float) -> datetime:
    """A later time was set by a wrong clock: a right one sets it `longest_seconds` ahead at most.

    Twice as much is allowed, and a minute for clocks that differ.
    """
    return now + timedelta(seconds=max(2 * longest_seconds, CLOCK_TOLERANCE_SECONDS))


def is_due(at: datetime, now: datetime, longest_seconds: float) -> bool:
    return at <= now or at > implausible_after(now, longest_seconds)


def due_ranges(
    now: datetime, *, waited_seconds: float = 0, longest_seconds: float
) -> list[dict[str, datetime]]:
    """The times that are due, each range from behind `after` up to `until`.

    `waited_seconds`: a time is due when it is so long ago.
    """
    until = now - timedelta(seconds=waited_seconds)
    implausible = implausible_after(now, longest_seconds)
    return [{"after": _BEGINNING, "until": until}, {"after": implausible, "until": _END}]
