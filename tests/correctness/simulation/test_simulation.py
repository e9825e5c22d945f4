"""A share of the simulation on every change, and the proof that it finds mistakes."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from chassis.outbox.outbox import Outbox
from chassis.outbox.retransmission import Retransmitter
from chassis.processing.batch import Batch
from chassis.processing.messages import EventMessage
from chassis.processing.transaction import Transaction
from ops.audit import delivery
from tests.correctness.simulation import schedule
from tests.correctness.simulation.awaits import SIMULATED
from tests.correctness.simulation.schedule import ScheduleResult, run, silence
from tests.correctness.simulation.shop import SIMULATION
from tests.correctness.simulation.shop.workload import ORDERS
from tests.kit.client import ROOT

SEEDS = range(40)
MAX_SEEDS = 60


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(schedule, "MAX_SETTLING_SECONDS", 120)
    with silence():
        yield


def first_failure() -> ScheduleResult | None:
    outcomes = (run(SIMULATION, seed) for seed in range(MAX_SEEDS))
    return next((each for each in outcomes if each.violations), None)


def test_every_order_ends_and_everything_adds_up_after_any_fault() -> None:
    outcomes = [run(SIMULATION, seed) for seed in SEEDS]
    assert {each.seed: each.violations for each in outcomes if each.violations} == {}
    ends = sum((each.ends for each in outcomes), Counter[str]())
    assert ends.keys() == {"COMPLETED", "FAILED", "CANCELLED"}
    assert sum(each.kills for each in outcomes) > len(SEEDS)
    # A client whose request was forgotten with a restored database gives up, and one who is erased
    # places no order with an address.
    assert ORDERS * len(SEEDS) * 0.85 < sum(each.sagas for each in outcomes) <= ORDERS * len(SEEDS)


def test_a_seed_replays_exactly() -> None:
    assert run(SIMULATION, 3).history == run(SIMULATION, 3).history
    assert run(SIMULATION, 3).history != run(SIMULATION, 4).history


def test_a_seed_replays_exactly_in_other_processes() -> None:
    """Nothing follows from where objects lie in memory, or from how strings are hashed."""
    replay = [sys.executable, "-m", "tests.correctness.simulation", "--seed", "3"]
    printed = {
        subprocess.run(
            replay,
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            cwd=ROOT,
            check=True,
            capture_output=True,
        ).stdout
        for hash_seed in ("1", "2", "3")
    }
    assert len(printed) == 1


def test_kills_are_counted_at_the_awaits_of_the_whole_chassis() -> None:
    assert {"chassis/processing/processor.py", "chassis/outbox/relay.py"} < set(SIMULATED)


def test_a_loss_without_retransmission_leaves_an_order_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Retransmitter, "_overdue", lambda *_: [])
    monkeypatch.setattr(Outbox, "verify", _nothing)
    monkeypatch.setattr("chassis.outbox.reconciliation.Reconciler.check_all", _nothing)
    assert first_failure() is not None


def test_an_acknowledgement_before_the_commit_loses_events(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    transact = Transaction.__call__

    async def acknowledge_first(self: Transaction[Any], messages: Any) -> Any:
        for message in messages:
            if isinstance(message, EventMessage):
                message.delivery.ack()
        return await transact(self, messages)

    monkeypatch.setattr(Transaction, "__call__", acknowledge_first)
    monkeypatch.setattr(Retransmitter, "_overdue", lambda *_: [])
    assert first_failure() is not None


def test_an_inbox_that_forgets_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    save = Batch._save_own

    def save_without_inbox(self: Batch[Any], *arguments: Any) -> None:
        self._received.clear()
        save(self, *arguments)

    monkeypatch.setattr(Batch, "_save_own", save_without_inbox)
    failure = first_failure()
    assert failure is not None
    assert any(delivery.REACHED in each for each in failure.violations)


async def _nothing(*_: object, **__: object) -> None:
    """In place of what would notice a loss."""
