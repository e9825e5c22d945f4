"""The door lets in no more than is done, and everybody where nothing is late."""

import random
from collections import deque

import pytest

from chassis.web.load_shedding import LoadShedder

STEP_SECONDS = 0.01


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Works:
    """Does so many a second, in the order in which they came, behind a door."""

    def __init__(
        self,
        clock: Clock,
        admission: LoadShedder,
        per_second: float,
        *,
        quick: float = 0,
        received: float = 1,
    ) -> None:
        """`quick`: the share of what comes that ends at once, without work.

        `received`: the share of the ends that the door hears of.
        """
        self.clock = clock
        self.admission = admission
        self.per_second = per_second
        self.quick = quick
        self.received = received
        self.chance = random.Random(1)
        self.waiting: deque[float] = deque()
        self.done = self.refused = 0
        self.longest_seconds = 0.0
        self._due = self._may_do = 0.0

    def run(self, seconds: float, *, offered: float) -> None:
        for _ in range(round(seconds / STEP_SECONDS)):
            self.clock.now += STEP_SECONDS
            self._due += offered * STEP_SECONDS
            ages: list[float] = []
            while self._due >= 1:
                self._due -= 1
                if not self.admission.admits():
                    self.refused += 1
                elif self.chance.random() < self.quick:
                    ages.append(0.0)
                else:
                    self.waiting.append(self.clock.now)
            self._work(ages)

    def _work(self, ages: list[float]) -> None:
        self._may_do = min(self._may_do + self.per_second * STEP_SECONDS, 1 + len(self.waiting))
        while self._may_do >= 1 and self.waiting:
            self._may_do -= 1
            self.done += 1
            ages.append(self.clock.now - self.waiting.popleft())
        if ages:
            self.longest_seconds = max(self.longest_seconds, *ages)
            if received := [age for age in ages if self.chance.random() < self.received]:
                self.admission.ended(received)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def door(
    clock: Clock, *, overload_latency_seconds: float = 2, max_per_second: float = 0
) -> LoadShedder:
    return LoadShedder(
        overload_latency_seconds=overload_latency_seconds,
        max_per_second=max_per_second,
        clock=clock,
    )


def test_whoever_can_be_served_in_time_is_let_in(clock: Clock) -> None:
    works = Works(clock, door(clock), per_second=1000)
    works.run(60, offered=900)
    assert works.refused == 0
    assert works.admission.per_second is None


@pytest.mark.parametrize("offered", [1_500, 2_000, 10_000])
def test_in_a_crowd_as_much_is_done_as_can_be_and_nobody_waits_long(
    clock: Clock, offered: float
) -> None:
    works = Works(clock, door(clock), per_second=1000)
    works.run(60, offered=offered)
    assert works.done >= 0.97 * 60 * 1000
    works.longest_seconds = 0
    works.run(60, offered=offered)
    assert works.longest_seconds < 5
    assert works.refused > 0


def test_when_the_crowd_has_gone_everybody_is_let_in_again(clock: Clock) -> None:
    works = Works(clock, door(clock), per_second=1000)
    works.run(30, offered=3_000)
    works.run(30, offered=500)
    works.refused = 0
    works.run(30, offered=500)
    assert works.refused == 0
    assert works.admission.per_second is None
    assert len(works.waiting) <= 10


def test_while_nothing_ends_the_door_stays_open(clock: Clock) -> None:
    works = Works(clock, door(clock), per_second=0)
    works.run(30, offered=1_000)
    assert works.refused == 0
    assert len(works.waiting) == pytest.approx(30_000, abs=1)


def test_what_had_to_wait_for_long_does_not_keep_the_door_shut_when_it_is_done(
    clock: Clock,
) -> None:
    works = Works(clock, door(clock), per_second=0)
    works.run(30, offered=1_000)  # a service was away; what has waited for it ends late
    works.per_second = 3_000
    works.run(15, offered=0)
    assert not works.waiting
    works.per_second = 1_000
    works.run(3, offered=3_000)
    works.done = 0
    works.run(10, offered=3_000)
    assert works.done >= 0.95 * 10 * 1_000


def test_a_broker_that_goes_away_opens_the_door_even_in_a_crowd(clock: Clock) -> None:
    works = Works(clock, door(clock), per_second=1000)
    works.run(30, offered=3_000)
    works.per_second = works.refused = 0
    works.run(30, offered=3_000)
    assert works.refused < 0.05 * 30 * 3_000


def test_a_few_old_ones_are_no_crowd(clock: Clock) -> None:
    admission = door(clock)
    for _ in range(100):
        clock.now += 0.5
        admission.ended([60, 60, 60])
        assert admission.admits()


def test_where_many_are_quick_the_others_have_another_reason(clock: Clock) -> None:
    """A payment gateway that hangs, say."""
    admission = door(clock)
    for _ in range(100):
        clock.now += 0.1
        admission.ended([60] * 40 + [0.1] * 60)
        assert admission.admits()


@pytest.mark.parametrize("quick", [0.02, 0.2])
def test_a_crowd_is_seen_past_those_that_fail_early(clock: Clock, quick: float) -> None:
    works = Works(clock, door(clock), per_second=1000, quick=quick)
    works.run(60, offered=2_000)
    works.longest_seconds = 0
    works.run(60, offered=2_000)
    assert works.longest_seconds < 5
    assert works.done >= 0.97 * 120 * 1_000


def test_an_instance_that_gets_all_requests_and_hears_of_some_ends(clock: Clock) -> None:
    works = Works(clock, door(clock), per_second=1000, received=0.5)
    works.run(60, offered=2_000)
    works.longest_seconds = 0
    works.run(60, offered=2_000)
    assert works.longest_seconds < 5
    assert works.done >= 0.97 * 120 * 1_000


def test_a_fixed_limit_holds_whatever_comes_and_lets_a_burst_of_half_a_second_in(
    clock: Clock,
) -> None:
    works = Works(clock, door(clock, max_per_second=100), per_second=10_000)
    works.run(10, offered=1_000)
    assert 1_000 <= works.done <= 1_050
    assert works.refused == 10_000 - works.done - len(works.waiting)


def test_without_a_limit_nothing_is_ever_late(clock: Clock) -> None:
    works = Works(clock, door(clock, overload_latency_seconds=0), per_second=100)
    works.run(30, offered=1_000)
    assert works.refused == 0
