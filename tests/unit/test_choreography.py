"""The check of the choreography: the shop's is sound, and each kind of flaw is detected."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from events.contract import (
    CONTRACT,
    CouponRejected,
    CouponRestored,
    CouponUsed,
    OrderCancelled,
    OrderCancelRequested,
    OrderCompleted,
    OrderCreated,
    OrderFailed,
    OrderTimedOut,
    PaymentCompleted,
    PaymentFailed,
    PaymentRefunded,
    PaymentRefundFailed,
    StockDecremented,
    StockRestored,
    StockUnavailable,
)
from saga.adoption import Rule
from saga.choreography import checks, graph
from saga.choreography.graph import Choreography
from saga.event import Event
from saga.reactions import OfOthers, Reactions, Result
from tests.kit.client import ROOT


class Ask:
    """The first command."""


def service(name: str, *reactions: Callable[..., Any], adopts: bool = True) -> Reactions:
    """A registry of these functions. One named `undo...` is a compensation, `ask` a command.

    `adopts`: it has a rule for each event that it emits.
    """
    registry = Reactions(name, CONTRACT)
    for function in reactions:
        if function.__name__ == "ask":
            registry.command(function)
        elif function.__name__.startswith("undo"):
            registry.compensation(function)
        else:
            registry.on(function)
    if adopts:
        rule = Rule(lambda *_: None, needs_cause=False)
        registry.adoptions.rules.update(dict.fromkeys(registry.emits, rule))
    return registry


def flaws(*registries: Reactions) -> list[str]:
    return checks.flaws(Choreography(registries, CONTRACT))


def ask(command: Ask, rows: object) -> Result[None, OrderCreated]: ...  # type: ignore[empty-body]
def use(event: OrderCreated, rows: object) -> CouponUsed | CouponRejected: ...  # type: ignore[empty-body]
def take(event: CouponUsed, rows: object) -> OrderCompleted | StockUnavailable: ...  # type: ignore[empty-body]
def undo_order(event: CouponRejected | StockUnavailable, rows: object) -> OrderFailed: ...  # type: ignore[empty-body]
def undo_coupon(event: StockUnavailable, rows: object) -> None: ...


ORDER = service("order", ask, undo_order)
COUPON = service("coupon", use, undo_coupon)
PRODUCT = service("product", take)


def test_choreography_of_the_shop_is_sound() -> None:
    assert checks.flaws(graph.load()) == []


@pytest.mark.parametrize(
    ("event", "producer", "consumers", "then"),
    [
        (OrderCancelRequested, "order", {"payment"}, [PaymentRefunded, PaymentRefundFailed]),
        (PaymentRefunded, "payment", {"product"}, [StockRestored]),
        (StockRestored, "product", {"coupon"}, [CouponRestored]),
        (CouponRestored, "coupon", {"order"}, [OrderCancelled]),
        (OrderCancelled, "order", set(), []),
        (PaymentRefundFailed, "payment", {"order"}, []),
        (OrderTimedOut, "order", {"payment"}, [PaymentCompleted, PaymentFailed]),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_edges_of_cancel_and_time_out(
    event: type[Event], producer: str, consumers: set[str], then: list[type[Event]]
) -> None:
    flow = graph.load()
    assert flow.producers(event) == [producer]
    assert set(flow.consumers(event)) == consumers
    assert flow.following(event) == then


@pytest.mark.parametrize(
    ("service", "event"),
    [("product", PaymentRefunded), ("coupon", StockRestored), ("order", CouponRestored)],
)
def test_each_service_compensates_a_cancelled_order(service: str, event: type[Event]) -> None:
    assert graph.load().registries[service].reactions[event].compensates


def test_small_sound_choreography_has_no_flaw() -> None:
    assert flaws(ORDER, COUPON, PRODUCT) == []


def test_event_with_two_owners_is_detected() -> None:
    found = flaws(ORDER, COUPON, PRODUCT, service("rival", take))
    assert "OrderCompleted has two owners: product, rival" in found
    assert "StockUnavailable has two owners: product, rival" in found


def test_event_without_a_consumer_is_detected() -> None:
    assert "CouponUsed is emitted by coupon, but no participant handles it" in flaws(ORDER, COUPON)


def test_event_without_a_producer_is_detected() -> None:
    assert "OrderCreated is handled by coupon, but no participant emits it" in flaws(
        COUPON, PRODUCT
    )


def test_emitted_event_without_an_adoption_rule_is_detected() -> None:
    assert flaws(ORDER, COUPON, service("product", take, adopts=False)) == [
        "product emits StockUnavailable, but has no rule to adopt it",
        "product emits OrderCompleted, but has no rule to adopt it",
    ]


def test_failure_without_a_compensation_is_detected() -> None:
    forgetful = service("coupon", use)
    assert flaws(ORDER, forgetful, PRODUCT) == [
        "coupon did its part before StockUnavailable, but undoes nothing"
    ]


def test_reaction_to_a_failure_is_no_compensation() -> None:
    def react(event: StockUnavailable, rows: object) -> None: ...

    assert flaws(ORDER, service("coupon", use, react), PRODUCT) == [
        "coupon did its part before StockUnavailable, but undoes nothing"
    ]


def test_compensation_of_a_consequence_of_the_failure_counts() -> None:
    def undo_late(event: OrderFailed, rows: object) -> None: ...

    assert flaws(ORDER, service("coupon", use, undo_late), PRODUCT) == []


def test_cycle_is_detected() -> None:
    def there(event: StockRestored, rows: object) -> CouponRestored: ...  # type: ignore[empty-body]
    def back(event: CouponRestored, rows: object) -> StockRestored: ...  # type: ignore[empty-body]

    found = flaws(service("there", there), service("back", back))
    assert any(flaw.startswith("a cycle: ") for flaw in found)
    assert any("StockRestored -> CouponRestored" in flaw for flaw in found)


def test_event_of_another_order_is_no_cycle() -> None:
    """Restored stock of one order serves another: the same events, never of the same order."""

    def pay(event: StockDecremented, rows: object) -> PaymentFailed: ...  # type: ignore[empty-body]
    def undo(event: PaymentFailed, rows: object) -> OfOthers[StockDecremented]: ...  # type: ignore[empty-body]

    found = flaws(service("payment", pay), service("product", undo))
    assert not any(flaw.startswith("a cycle: ") for flaw in found)
    assert Choreography([service("product", undo)], CONTRACT).following(PaymentFailed) == []


def test_unused_events_of_the_contract_are_listed() -> None:
    assert StockDecremented in Choreography([ORDER, COUPON, PRODUCT], CONTRACT).reserved()


def command(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "saga.choreography", *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("file", ["docs/CHOREOGRAPHY.md", "infra/nats-users.conf"])
def test_check_fails_on_a_stale_or_missing_file(file: str, tmp_path: Path) -> None:
    for folder in ("docs", "infra"):
        (tmp_path / folder).mkdir()
    assert command(folder=tmp_path).returncode == 0
    assert command("--check", folder=tmp_path).returncode == 0
    (tmp_path / file).write_text("something else")
    assert command("--check", folder=tmp_path).stderr == f"{file} is stale: run make choreography\n"
    (tmp_path / file).unlink()
    assert command("--check", folder=tmp_path).returncode == 1


def test_project_is_sound_and_its_generated_files_are_up_to_date() -> None:
    done = command("--check")
    assert (done.returncode, done.stderr) == (0, "")
    assert "is sound" in done.stdout


def test_diagram_has_every_edge() -> None:
    flow = graph.load()
    text = (ROOT / "docs" / "CHOREOGRAPHY.md").read_text()
    for event in CONTRACT:
        for producer in flow.producers(event):
            for consumer in flow.consumers(event):
                assert f"{producer} -- {event.__name__} --> {consumer}\n" in text
