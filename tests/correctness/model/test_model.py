"""A bounded search on every change, and the proof that the search can see."""

from functools import cache

import pytest

from events.contract import CONTRACT, FailReason, OrderFailed
from order.commands import ExpireOrder
from order.reactions import reactions
from order.unit_of_work import OrderUnitOfWork
from saga.reactions import Reactions, Result
from tests.correctness.model.checker import check
from tests.correctness.model.scenarios import SMALL, Scenario
from tests.correctness.model.world import all_edges, production

LOSS = Scenario(name="a loss", with_coupon=True, losses=1, duplicates=0, cancels=0, asks=False)

searched = cache(check)


@pytest.mark.parametrize("scenario", SMALL, ids=lambda scenario: scenario.name)
def test_no_interleaving_breaks_an_invariant_and_every_order_can_end(scenario: Scenario) -> None:
    result = searched(scenario)
    assert result.violation is None, str(result.violation)
    assert result.states > 10


def test_every_edge_of_the_choreography_is_walked() -> None:
    walked = frozenset().union(*(searched(scenario).edges for scenario in SMALL))
    assert all_edges() - walked == frozenset()


def test_without_repeats_a_loss_leaves_an_order_without_an_end() -> None:
    violation = check(LOSS, asks=False).violation
    assert violation is not None
    assert violation.what == "from here on an order can never end"
    assert violation.schedule[-1] == "the broker loses everything"


def test_without_answers_a_repeat_is_not_enough() -> None:
    violation = check(LOSS, answers=False).violation
    assert violation is not None
    assert violation.what == "from here on an order can never end"


def test_the_shortest_way_to_a_violation_is_told() -> None:
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

    scenario = Scenario(name="hasty", duplicates=0, asks=False)
    violation = check(scenario, production() | {"order": hasty}).violation

    assert violation is not None
    assert violation.what.startswith("order 1 is FAILED, the others are")
    assert "order 1's deadline comes" in violation.schedule
