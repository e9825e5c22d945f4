"""The small search on every change, and the proof that the search finds mistakes."""

from functools import cache

import pytest

from events.contract import CONTRACT, FailReason, OrderFailed
from order.commands import ExpireOrder
from order.reactions import reactions
from order.unit_of_work import OrderUnitOfWork
from saga.reactions import Reactions, Result
from tests.correctness.model.checker import NO_END, SearchResult, check
from tests.correctness.model.description import Scenario
from tests.correctness.model.shop import MODEL
from tests.correctness.model.shop.scenarios import ShopScenario
from tests.correctness.model.world import edges_within, production

LOSS = next(each for each in MODEL.small if each.name == "a loss")


@cache
def searched(scenario: Scenario) -> SearchResult:
    return check(MODEL, scenario)


@pytest.mark.parametrize("scenario", MODEL.small, ids=lambda scenario: scenario.name)
def test_no_interleaving_breaks_an_invariant_and_every_order_can_end(scenario: Scenario) -> None:
    result = searched(scenario)
    assert result.violation is None, str(result.violation)
    assert result.states > 10


def test_every_edge_of_the_choreography_is_walked() -> None:
    walked = frozenset().union(*(searched(scenario).edges for scenario in MODEL.small))
    assert edges_within(production(MODEL).values(), MODEL.streams) - walked == frozenset()


def test_a_loss_without_retransmission_leaves_an_order_without_an_end() -> None:
    violation = check(MODEL, LOSS, retransmits=False).violation
    assert violation is not None
    assert violation.what == NO_END
    assert violation.schedule[-1] == "the broker loses everything"


def test_a_retransmission_without_answers_is_not_enough() -> None:
    violation = check(MODEL, LOSS, answers=False).violation
    assert violation is not None
    assert violation.what == NO_END


def test_a_violation_is_reported_with_the_shortest_way_to_it() -> None:
    """An order that decides its expiry alone, while its payment is on its way."""
    hasty = Reactions("order", CONTRACT)
    hasty.reactions |= reactions.reactions
    hasty.commands |= reactions.commands
    del hasty.commands[ExpireOrder]

    @hasty.command
    def fail_at_once(command: ExpireOrder, uow: OrderUnitOfWork) -> Result[None, OrderFailed]:
        order = uow.orders[command.order_id]
        reason = FailReason.ORDER_TIMED_OUT
        uow.orders[order.order_id] = order.fail(reason, uow.now)
        failed = OrderFailed(order_id=order.order_id, customer_id="", reason=reason)
        return Result(None, failed)

    scenario = ShopScenario(name="hasty", duplicates=0, retransmits=False)
    violation = check(MODEL, scenario, production(MODEL) | {"order": hasty}).violation

    assert violation is not None
    assert violation.what.startswith("order 1 is FAILED, the others are")
    assert "order 1's deadline comes" in violation.schedule
