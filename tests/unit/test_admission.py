"""Load shedding admits no more than is completed, and everything without overload."""

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


class Server:
    """Completes `per_second` requests a second, in their order, behind admission control."""

    def __init__(
        self,
        clock: Clock,
        admission: LoadShedder,
        per_second: float,
        *,
        quick: float = 0,
        received: float = 1,
    ) -> None:
        """`quick`: the share of the requests that end at once, without work.

        `received`: the share of the completions that the load shedder counts.
        """
        self.clock = clock
        self.admission = admission
        self.per_second = per_second
        self.quick = quick
        self.received = received
        self.chance = random.Random(1)
        self.waiting: deque[float] = deque()
        self.done = self.rejected = 0
        self.longest_seconds = 0.0
        self._due = self._may_do = 0.0

    def run(self, seconds: float, *, offered: float) -> None:
        for _ in range(round(seconds / STEP_SECONDS)):
            self.clock.now += STEP_SECONDS
            self._due += offered * STEP_SECONDS
            latencies: list[float] = []
            while self._due >= 1:
                self._due -= 1
                if not self.admission.admit():
                    self.rejected += 1
                elif self.chance.random() < self.quick:
                    latencies.append(0.0)
                else:
                    self.waiting.append(self.clock.now)
            self._work(latencies)

    def _work(self, latencies: list[float]) -> None:
        self._may_do = min(self._may_do + self.per_second * STEP_SECONDS, 1 + len(self.waiting))
        while self._may_do >= 1 and self.waiting:
            self._may_do -= 1
            self.done += 1
            latencies.append(self.clock.now - self.waiting.popleft())
        if latencies:
            self.longest_seconds = max(self.longest_seconds, *latencies)
            if received := [each for each in latencies if self.chance.random() < self.received]:
                self.admission.record(received)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def shedder(
    clock: Clock, *, overload_latency_seconds: float = 2, max_per_second: float = 0
) -> LoadShedder:
    return LoadShedder(
        overload_latency_seconds=overload_latency_seconds,
        max_per_second=max_per_second,
        clock=clock,
    )


def test_everything_is_admitted_below_capacity(clock: Clock) -> None:
    server = Server(clock, shedder(clock), per_second=1000)
    server.run(60, offered=900)
    assert server.rejected == 0
    assert server.admission.per_second is None


@pytest.mark.parametrize("offered", [1_500, 2_000, 10_000])
def test_overload_keeps_throughput_and_bounds_latency(clock: Clock, offered: float) -> None:
    server = Server(clock, shedder(clock), per_second=1000)
    server.run(60, offered=offered)
    assert server.done >= 0.97 * 60 * 1000
    server.longest_seconds = 0
    server.run(60, offered=offered)
    assert server.longest_seconds < 5
    assert server.rejected > 0


def test_everything_is_admitted_again_after_overload(clock: Clock) -> None:
    server = Server(clock, shedder(clock), per_second=1000)
    server.run(30, offered=3_000)
    server.run(30, offered=500)
    server.rejected = 0
    server.run(30, offered=500)
    assert server.rejected == 0
    assert server.admission.per_second is None
    assert len(server.waiting) <= 10


def test_nothing_is_rejected_while_nothing_ends(clock: Clock) -> None:
    server = Server(clock, shedder(clock), per_second=0)
    server.run(30, offered=1_000)
    assert server.rejected == 0
    assert len(server.waiting) == pytest.approx(30_000, abs=1)


def test_backlog_of_an_outage_causes_no_lasting_rejections(
    clock: Clock,
) -> None:
    server = Server(clock, shedder(clock), per_second=0)
    server.run(30, offered=1_000)  # a service was away, so what waited for it ends late
    server.per_second = 3_000
    server.run(15, offered=0)
    assert not server.waiting
    server.per_second = 1_000
    server.run(3, offered=3_000)
    server.done = 0
    server.run(10, offered=3_000)
    assert server.done >= 0.95 * 10 * 1_000


def test_outage_during_overload_ends_rejections(clock: Clock) -> None:
    server = Server(clock, shedder(clock), per_second=1000)
    server.run(30, offered=3_000)
    server.per_second = server.rejected = 0
    server.run(30, offered=3_000)
    assert server.rejected < 0.05 * 30 * 3_000


def test_few_slow_completions_are_no_overload(clock: Clock) -> None:
    admission = shedder(clock)
    for _ in range(100):
        clock.now += 0.5
        admission.record([60, 60, 60])
        assert admission.admit()


def test_slow_minority_is_no_overload(clock: Clock) -> None:
    """Such as the orders that wait for a payment gateway that hangs."""
    admission = shedder(clock)
    for _ in range(100):
        clock.now += 0.1
        admission.record([60] * 40 + [0.1] * 60)
        assert admission.admit()


@pytest.mark.parametrize("quick", [0.02, 0.2])
def test_early_failures_do_not_hide_overload(clock: Clock, quick: float) -> None:
    server = Server(clock, shedder(clock), per_second=1000, quick=quick)
    server.run(60, offered=2_000)
    server.longest_seconds = 0
    server.run(60, offered=2_000)
    assert server.longest_seconds < 5
    assert server.done >= 0.97 * 120 * 1_000


def test_overload_is_seen_by_an_instance_that_counts_half_of_the_completions(clock: Clock) -> None:
    server = Server(clock, shedder(clock), per_second=1000, received=0.5)
    server.run(60, offered=2_000)
    server.longest_seconds = 0
    server.run(60, offered=2_000)
    assert server.longest_seconds < 5
    assert server.done >= 0.97 * 120 * 1_000


def test_fixed_limit_holds_and_admits_a_burst_of_half_a_second(
    clock: Clock,
) -> None:
    server = Server(clock, shedder(clock, max_per_second=100), per_second=10_000)
    server.run(10, offered=1_000)
    assert 1_000 <= server.done <= 1_050
    assert server.rejected == 10_000 - server.done - len(server.waiting)


def test_no_latency_is_overload_without_a_limit(clock: Clock) -> None:
    server = Server(clock, shedder(clock, overload_latency_seconds=0), per_second=100)
    server.run(30, offered=1_000)
    assert server.rejected == 0
