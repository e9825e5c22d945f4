"""The trip's services on a virtual clock, under the same faults as the shop's."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from chassis.outbox.outbox import Outbox
from chassis.outbox.reconciliation import Reconciler
from chassis.outbox.retransmission import Retransmitter
from tests.correctness.simulation import schedule
from tests.correctness.simulation.schedule import run, silence
from trip_checks.simulation import SIMULATION

SEEDS = range(40)
MAX_SEEDS = 60


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(schedule, "MAX_SETTLING_SECONDS", 120)
    with silence():
        yield


def test_every_trip_ends_all_done_or_all_undone_after_any_fault() -> None:
    outcomes = [run(SIMULATION, seed) for seed in SEEDS]

    assert {each.seed: each.violations for each in outcomes if each.violations} == {}
    ends = sum((each.ends for each in outcomes), Counter[str]())
    assert ends.keys() == {"BOOKED", "FAILED", "CANCELLED"}
    assert sum(each.kills for each in outcomes) > len(SEEDS)


def test_a_loss_without_retransmission_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Retransmitter, "_overdue", lambda *_: [])
    for owner, name in ((Outbox, "verify"), (Reconciler, "check_all")):
        monkeypatch.setattr(owner, name, nothing)

    assert any(run(SIMULATION, seed).violations for seed in range(MAX_SEEDS))


async def nothing(*_: Any, **__: Any) -> None:
    """In place of what would notice a loss."""
