"""When a service begins its next batch: at once in quiet times, seldom enough in busy ones."""

import pytest

from chassis.processing.linger import BURST_SECONDS, DUTY_CYCLE, MAX_LINGER_SECONDS, Linger

BATCH_SECONDS = 0.002
BATCHES = 100


def batch(linger: Linger, began_at: float, took_seconds: float) -> float:
    """Returns when it ended."""
    linger.batch_began(began_at)
    linger.batch_ended(began_at + took_seconds)
    return began_at + took_seconds


def _busy(linger: Linger, now: float) -> float:
    """Batches, each as soon as it may begin. Returns when the last one has ended."""
    for _ in range(BATCHES):
        now += linger.linger_seconds(now)
        now = batch(linger, now, BATCH_SECONDS)
    return now


def test_who_was_quiet_begins_at_once() -> None:
    linger = Linger()
    assert linger.linger_seconds(1000) == 0
    ended_at = _busy(linger, 1000)
    quiet_until = ended_at + MAX_LINGER_SECONDS + BURST_SECONDS
    for seconds in (0, BATCH_SECONDS):  # one behind the other, as of a lone order
        assert linger.linger_seconds(quiet_until + seconds) == 0
        batch(linger, quiet_until + seconds, BATCH_SECONDS)


def test_who_is_busy_works_for_its_share_of_the_time() -> None:
    took_seconds = _busy(Linger(), 1000) - 1000
    owed_seconds = BATCHES * BATCH_SECONDS / DUTY_CYCLE
    last_rest_seconds = BATCH_SECONDS / DUTY_CYCLE - BATCH_SECONDS
    assert took_seconds == pytest.approx(owed_seconds - BURST_SECONDS - last_rest_seconds)


@pytest.mark.parametrize("took_seconds", [0.1, 60])
def test_a_long_batch_is_not_paid_for_in_full(took_seconds: float) -> None:
    linger = Linger()
    batch(linger, 1000, took_seconds)
    assert linger.linger_seconds(1000 + took_seconds) == pytest.approx(MAX_LINGER_SECONDS)
