"""Linger: an idle processor starts its next batch at once, a busy one after a short wait."""

import pytest

from chassis.processing.linger import BURST_SECONDS, DUTY_CYCLE, MAX_LINGER_SECONDS, Linger

BATCH_SECONDS = 0.002
BATCHES = 100


def batch(linger: Linger, began_at: float, took_seconds: float) -> float:
    """Run a batch. Returns the time of its end."""
    linger.batch_began(began_at)
    linger.batch_ended(began_at + took_seconds)
    return began_at + took_seconds


def run_batches(linger: Linger, now: float) -> float:
    """Run batches, each as soon as it may start. Returns the time of the last end."""
    for _ in range(BATCHES):
        now += linger.linger_seconds(now)
        now = batch(linger, now, BATCH_SECONDS)
    return now


def test_idle_processor_starts_next_batch_immediately() -> None:
    linger = Linger()
    assert linger.linger_seconds(1000) == 0
    ended_at = run_batches(linger, 1000)
    idle_until = ended_at + MAX_LINGER_SECONDS + BURST_SECONDS
    for seconds in (0, BATCH_SECONDS):  # one after the other, as for a single order
        assert linger.linger_seconds(idle_until + seconds) == 0
        batch(linger, idle_until + seconds, BATCH_SECONDS)


def test_busy_processor_works_for_its_duty_cycle() -> None:
    took_seconds = run_batches(Linger(), 1000) - 1000
    cycle_seconds = BATCHES * BATCH_SECONDS / DUTY_CYCLE
    last_linger_seconds = BATCH_SECONDS / DUTY_CYCLE - BATCH_SECONDS
    assert took_seconds == pytest.approx(cycle_seconds - BURST_SECONDS - last_linger_seconds)


@pytest.mark.parametrize("took_seconds", [0.1, 60])
def test_linger_after_a_long_batch_is_limited(took_seconds: float) -> None:
    linger = Linger()
    batch(linger, 1000, took_seconds)
    assert linger.linger_seconds(1000 + took_seconds) == pytest.approx(MAX_LINGER_SECONDS)
