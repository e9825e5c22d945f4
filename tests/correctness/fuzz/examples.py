"""How much input is generated: the same few examples, or as many new ones as were asked for.

`FUZZ_EXAMPLES=1000` makes a run longer, and different from every other.
"""

import os
from contextlib import suppress
from typing import TypeVar

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import SearchStrategy

T = TypeVar("T")

ASKED_FOR = int(os.environ.get("FUZZ_EXAMPLES") or 0)
"""0: not asked; then every run generates the same."""


def making(usual: int) -> settings:
    """Hypothesis's settings for `usual` many examples, unless more were asked for."""
    return settings(
        max_examples=ASKED_FOR or usual,
        derandomize=not ASKED_FOR,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def drawn(strategy: SearchStrategy[T], usual: int) -> list[T]:
    """Examples of a strategy, for a test that needs many at once; none where there are none."""
    found: list[T] = []

    @settings(making(usual), phases=[Phase.generate])
    @given(strategy)
    def collect(example: T) -> None:
        found.append(example)

    with suppress(Unsatisfiable):
        collect()
    return found
