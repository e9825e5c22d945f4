"""Waiting for a condition instead of a length of time."""

import time
from collections.abc import Callable

_PAUSE_SECONDS = 0.05


def wait_until(condition: Callable[[], bool], deadline_seconds: float) -> bool:
    """True as soon as the condition holds; False when it does not hold at the deadline."""
    end = time.monotonic() + deadline_seconds
    while not condition():
        if time.monotonic() >= end:
            return False
        time.sleep(_PAUSE_SECONDS)
    return True
