"""The door lets in no more than is done, and everybody where nothing is late."""

from collections import deque

import pytest

from infra.admission import Admission

STEP_SECONDS = 0.01


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Works:
    """Does so many a second, in the order in which they came, behind a door."""

    def __init__(self, clock: Clock, admission: Admission, per_second: float) -> None:
        self.clock = clock
        self.admission = admission
        self.per_second = per_second
        self.waiting: deque[float] = deque()
        self.done = self.refused = 0
        self.longest_seconds = 0.0
        self._due = self._may_do = 0.0

    def run(self, seconds: float, *, offered: float) -> None:
        for _ in range(round(seconds / STEP_SECONDS)):
            self.clock.now += STEP_SECONDS
            self._due += offered * STEP_SECONDS
            while self._due >= 1:
                self._due -= 1
                if self.admission.admits():
                    self.waiting.append(self.clock.now)
                else:
                    self.refused += 1
            self._work()

    def _work(self) -> None:
        self._may_do = min(self._may_do + self.per_second * STEP_SECONDS, 1 + len(self.waiting))
        ages = []
        while self._may_do >= 1 and self.waiting:
            self._may_do -= 1
            ages.append(self.clock.now - self.waiting.popleft())
        if ages:
            self.done += len(ages)
            self.longest_seconds = max(self.longest_seconds, *ages)
            self.admission.ended(len(ages), min(ages))


@pytest.fixture
def clock() -> Clock:
    return Clock()


def door(clock: Clock, *, late_seconds: float = 2, most_per_second: float = 0) -> Admission:
    return Admission(late_seconds=late_seconds, most_per_second=most_per_second, clock=clock)


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
        admission.ended(3, youngest_seconds=60)
        assert admission.admits()


def test_one_that_was_quick_shows_that_it_is_not_the_crowd(clock: Clock) -> None:
    admission = door(clock)
    for _ in range(100):
        clock.now += 0.1
        admission.ended(100, youngest_seconds=60)
        admission.ended(1, youngest_seconds=0.1)
        assert admission.admits()


def test_a_fixed_limit_holds_whatever_comes_and_lets_a_burst_of_half_a_second_in(
    clock: Clock,
) -> None:
    works = Works(clock, door(clock, most_per_second=100), per_second=10_000)
    works.run(10, offered=1_000)
    assert 1_000 <= works.done <= 1_050
    assert works.refused == 10_000 - works.done - len(works.waiting)


def test_without_a_limit_nothing_is_ever_late(clock: Clock) -> None:
    works = Works(clock, door(clock, late_seconds=0), per_second=100)
    works.run(30, offered=1_000)
    assert works.refused == 0
