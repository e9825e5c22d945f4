"""Stock adds up and holds only move forward, with messages in any order and repeated."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.contract import Line, ProductChanged, StockRestored
from product.commands import BookStock
from product.domain import HoldState
from product.reactions import reactions
from product.unit_of_work import ProductUnitOfWork
from saga.errors import Refused
from saga.event import Event
from tests.unit.handling import handle, is_distinct
from tests.unit.payment_events import payment_completed, payment_failed, payment_refunded
from tests.unit.product_fixtures import coupon_used, product, unit_of_work

FORWARD = {
    (None, HoldState.HELD),
    (None, HoldState.REFUSED),
    (None, HoldState.RELEASED),
    (HoldState.HELD, HoldState.SOLD),
    (HoldState.HELD, HoldState.RELEASED),
    (HoldState.SOLD, HoldState.RELEASED),
}

order_ids = st.sampled_from(["o1", "o2", "o3", "o4"])
quantities = st.tuples(st.integers(1, 6), st.integers(0, 6))
bookings = st.builds(
    BookStock,
    product_id=st.sampled_from(["a", "b"]),
    request_id=st.sampled_from(["k1", "k2", "DEC-o1", "INC-o1"]),
    delta=st.sampled_from([-9, -3, -1, 1, 5]),
    reason=st.just("MANUAL"),
    order_id=st.none(),
)
steps = st.lists(
    st.one_of(
        *map(order_ids.map, (payment_completed, payment_failed, payment_refunded)),
        order_ids,
        bookings,
    ),
    max_size=30,
)


def check_sums(uow: ProductUnitOfWork, initial: dict[str, int]) -> None:
    holds = [hold for each in ("o1", "o2", "o3", "o4") if (hold := uow.holds.get(each))]
    for product_id, came in initial.items():
        row = uow.products[product_id]
        entries = [entry for entry in uow.ledger if entry.product_id == product_id]
        by_hand = sum(entry.delta for entry in entries if entry.request_id.startswith("k"))
        in_state = {
            state: sum(
                line.quantity
                for hold in holds
                for line in hold.items
                if hold.state is state and line.product_id == product_id
            )
            for state in (HoldState.HELD, HoldState.SOLD)
        }
        sold = sum(sale.units for sale in uow.sales if sale.product_id == product_id)
        assert sold == in_state[HoldState.SOLD]
        assert row.available >= 0
        assert row.reserved == in_state[HoldState.HELD]
        assert row.available + row.reserved + in_state[HoldState.SOLD] == came + by_hand
        assert row.available == came + sum(entry.delta for entry in entries)
        assert len({entry.request_id for entry in entries}) == len(entries)
        balances = [came, *(entry.balance_after for entry in entries)]
        steps = [later - earlier for earlier, later in pairwise(balances)]
        assert steps == [entry.delta for entry in entries]


@settings(deadline=None)
@given(
    st.fixed_dictionaries(dict.fromkeys(["o1", "o2", "o3", "o4"], quantities)),
    st.fixed_dictionaries({"a": st.integers(0, 12), "b": st.integers(0, 12)}),
    steps,
)
def test_stock_adds_up_for_any_sequence_of_messages(
    wanted: dict[str, tuple[int, int]],
    initial: dict[str, int],
    happened: list[Event | str | BookStock],
) -> None:
    """A text stands for the order's CouponUsed: its lines are the same each time."""
    uow = unit_of_work(*(product(each, count) for each, count in initial.items()))
    states: dict[str, HoldState | None] = {}
    emitted: list[Event] = []
    for each in happened:
        if isinstance(each, BookStock):
            book_or_refuse(uow, each)
        else:
            event = coupon_used(each, lines_of(wanted[each])) if isinstance(each, str) else each
            new = handle(reactions, event, uow)
            emitted += [each for each in new if each != nothing_to_restore(event.key)]
            order_id = event.key
            hold = uow.holds.get(order_id)
            now, before = hold.state if hold else None, states.get(order_id)
            assert now == before or (before, now) in FORWARD
            states[order_id] = now
        check_sums(uow, initial)
    assert is_distinct(emitted)


def nothing_to_restore(order_id: str) -> Event:
    """The answer to a CouponUsed after the order failed: only the inbox keeps it from repeating."""
    return StockRestored(order_id=order_id, items=())


def lines_of(counts: tuple[int, int]) -> tuple[Line, ...]:
    return tuple(
        Line(product_id=each, quantity=count, price=30)
        for each, count in zip("ab", counts, strict=True)
        if count
    )


def book_or_refuse(uow: ProductUnitOfWork, command: BookStock) -> None:
    known = uow.booked.get((command.product_id, command.request_id))
    available = uow.products[command.product_id].available
    own_key = command.request_id.startswith("k")
    if known and known.delta != command.delta:
        code = "IDEMPOTENCY_KEY_REUSED"
    elif known is None and not own_key:
        code = "VALIDATION_ERROR"
    elif known is None and available + command.delta < 0:
        code = "INSUFFICIENT_STOCK"
    else:
        result = reactions.execute(command, uow)
        uow.release()
        is_changed = (available == 0) != (available + command.delta == 0) and known is None
        assert [type(event) for event in result.events] == [ProductChanged] * is_changed
        assert result.value.delta == command.delta
        assert known is None or result.value == known
        return
    with pytest.raises(Refused) as refused:
        reactions.execute(command, uow)
    uow.roll_back()
    assert refused.value.code == code
    assert uow.products[command.product_id].available == available
