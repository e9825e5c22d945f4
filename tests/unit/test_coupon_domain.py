"""Coupons: every event in every state, discounts, and one order at most that holds a coupon."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coupon.domain import (
    UNSETTLED,
    Coupons,
    CouponStatus,
    DiscountType,
    Hold,
    HoldState,
    IssuedCoupon,
)
from coupon.reactions import reactions
from events.contract import (
    CouponRejected,
    CouponRestored,
    CouponUsed,
    FailReason,
    Line,
    OrderCreated,
    PaymentCompleted,
    PaymentFailed,
    PaymentMethod,
    StockRestored,
    StockUnavailable,
)
from saga.event import Event
from saga.unit_of_work import Rows
from tests.unit.telling import is_distinct, tell

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
LINES = (Line(product_id="p", quantity=1, price=60),)
ORDERS = ("o1", "o2", "o3")
FORWARD = {
    (None, HoldState.HELD),
    (None, HoldState.REFUSED),
    (None, HoldState.RELEASED),
    (HoldState.HELD, HoldState.SETTLED),
    (HoldState.HELD, HoldState.RELEASED),
    (HoldState.SETTLED, HoldState.RELEASED),
}

PLAIN = IssuedCoupon(
    issued_coupon_id="i",
    coupon_id="d",
    customer_id="c",
    discount_type=DiscountType.FIXED,
    discount_value=10,
    min_order_amount=0,
    valid_from=None,
    valid_until=None,
    order_id=None,
    issued_at=NOW,
    used_at=None,
)


def coupons(*rows: Hold | IssuedCoupon) -> Coupons:
    return Coupons(
        NOW,
        Rows({row.order_id: row for row in rows if isinstance(row, Hold)}),
        Rows(),
        Rows({row.issued_coupon_id: row for row in rows if isinstance(row, IssuedCoupon)}),
        Rows(),
    )


def created(order_id: str = "o1", coupon: str | None = "i", amount: int = 60) -> OrderCreated:
    return OrderCreated(
        order_id=order_id, customer_id="c", items=LINES, total_amount=amount, coupon_id=coupon
    )


def paid(order_id: str = "o1") -> PaymentCompleted:
    return PaymentCompleted(
        order_id=order_id,
        payment_id="p",
        customer_id="c",
        method=PaymentMethod.WALLET,
        amount=50,
        discount_amount=10,
    )


def unpaid(order_id: str = "o1") -> PaymentFailed:
    return PaymentFailed(order_id=order_id, reason=FailReason.INSUFFICIENT_BALANCE)


def short(order_id: str = "o1") -> StockUnavailable:
    reason = FailReason.INSUFFICIENT_STOCK
    return StockUnavailable(order_id=order_id, reason=reason, product_id="p")


def restored(order_id: str = "o1") -> StockRestored:
    return StockRestored(order_id=order_id, items=LINES)


def in_state(state: HoldState | None) -> Coupons:
    """The rows when the order's row is in this state; its coupon is i."""
    has_it = state in (HoldState.HELD, HoldState.SETTLED)
    issued = PLAIN.used_by("o1", NOW) if has_it else PLAIN
    if state is None:
        return coupons(issued)
    named = None if state is HoldState.REFUSED else "i"
    hold = Hold(
        order_id="o1", state=state, issued_coupon_id=named, discount_amount=10, updated_at=NOW
    )
    return coupons(hold, issued)


EVENTS: dict[str, Event] = {
    type(event).__name__: event for event in (created(), paid(), unpaid(), short(), restored())
}
UNDOING = ("PaymentFailed", "StockUnavailable", "StockRestored")
MOVES: dict[tuple[HoldState | None, str], tuple[HoldState, type[Event] | None]] = {
    (None, "OrderCreated"): (HoldState.HELD, CouponUsed),
    (HoldState.HELD, "PaymentCompleted"): (HoldState.SETTLED, None),
    **{(None, name): (HoldState.RELEASED, None) for name in UNDOING},
    **{(HoldState.HELD, name): (HoldState.RELEASED, CouponRestored) for name in UNDOING},
    **{(HoldState.SETTLED, name): (HoldState.RELEASED, CouponRestored) for name in UNDOING},
}


@pytest.mark.parametrize("name", EVENTS)
@pytest.mark.parametrize("state", [None, *HoldState])
def test_every_event_in_every_state(state: HoldState | None, name: str) -> None:
    at = in_state(state)
    emitted = tell(reactions, EVENTS[name], at)
    if (state, name) not in MOVES:
        assert emitted == ()
        assert [*at.holds.inserted, *at.holds.updated, *at.issued.updated] == []
        return
    after, emits = MOVES[state, name]
    assert at.holds["o1"].state is after
    assert [type(event) for event in emitted] == ([emits] if emits else [])
    has_it = after in (HoldState.HELD, HoldState.SETTLED)
    assert at.issued["i"].order_id == ("o1" if has_it else None)
    assert at.issued["i"].used_at == (NOW if has_it else None)


def test_the_states_and_events_are_all_of_them() -> None:
    assert {event.__name__ for event in reactions.handles} == set(EVENTS)
    assert frozenset({HoldState.HELD}) == UNSETTLED


def test_a_coupon_is_used_and_given_back() -> None:
    at = in_state(None)
    (used,) = reactions.react(created(), at)
    assert used == CouponUsed(
        order_id="o1",
        customer_id="c",
        items=LINES,
        total_amount=60,
        discount_amount=10,
        payable_amount=50,
        coupon_id="i",
    )
    assert reactions.react(unpaid(), at) == (CouponRestored(order_id="o1", coupon_id="i"),)
    (again,) = reactions.react(created("o2"), at)
    assert isinstance(again, CouponUsed)


def test_an_order_without_a_coupon_goes_the_same_way() -> None:
    at = coupons()
    (used,) = reactions.react(created(coupon=None), at)
    assert isinstance(used, CouponUsed)
    assert (used.discount_amount, used.payable_amount, used.coupon_id) == (0, 60, None)
    assert reactions.react(short(), at) == (CouponRestored(order_id="o1", coupon_id=None),)


def test_a_coupon_that_another_order_has_is_not_given_back() -> None:
    """Whatever went wrong before: only the order that holds it may return it."""
    hold = Hold(
        order_id="o1",
        state=HoldState.HELD,
        issued_coupon_id="i",
        discount_amount=10,
        updated_at=NOW,
    )
    at = coupons(hold, PLAIN.used_by("o2", NOW))
    reactions.react(unpaid(), at)
    at.release()
    assert at.issued["i"].order_id == "o2"


def changed(**terms: object) -> IssuedCoupon:
    return msgspec.structs.replace(PLAIN, **terms)


@pytest.mark.parametrize(
    ("coupon", "reason"),
    [
        (changed(issued_coupon_id="other"), FailReason.COUPON_NOT_FOUND),
        (changed(customer_id="someone"), FailReason.COUPON_NOT_OWNED),
        (changed(order_id="o9"), FailReason.COUPON_ALREADY_USED),
        (changed(valid_until=NOW), FailReason.COUPON_EXPIRED),
        (changed(valid_from=NOW + SECOND), FailReason.COUPON_EXPIRED),
        (changed(min_order_amount=61), FailReason.COUPON_MIN_AMOUNT),
        (changed(valid_until=NOW + SECOND, valid_from=NOW, min_order_amount=60), None),
    ],
)
def test_why_a_coupon_is_refused(coupon: IssuedCoupon, reason: FailReason | None) -> None:
    at = coupons(coupon)
    (emitted,) = reactions.react(created(), at)
    at.release()
    if reason is None:
        assert isinstance(emitted, CouponUsed)
        return
    assert emitted == CouponRejected(order_id="o1", reason=reason)
    assert at.holds["o1"].state is HoldState.REFUSED
    assert at.issued.updated == []


def test_the_status_that_a_customer_sees() -> None:
    assert PLAIN.status(NOW) is CouponStatus.ISSUED
    ending = changed(valid_until=NOW)
    assert ending.status(NOW - SECOND) is CouponStatus.ISSUED
    assert ending.status(NOW) is CouponStatus.EXPIRED
    assert ending.used_by("o1", NOW).status(NOW + SECOND) is CouponStatus.USED


# ---------------------------------------------------------------- discounts

amounts = st.integers(1, 10**15)


@settings(deadline=None)
@given(amounts, st.integers(1, 10**9))
def test_a_fixed_discount_is_capped(amount: int, value: int) -> None:
    assert changed(discount_value=value).discount(amount) == min(amount, value)


@settings(deadline=None)
@given(amounts, st.integers(1, 100))
def test_a_rate_is_rounded_down(amount: int, rate: int) -> None:
    discount = changed(discount_type=DiscountType.RATE, discount_value=rate).discount(amount)
    assert 0 <= discount <= amount
    assert discount * 100 <= amount * rate < (discount + 1) * 100


# ---------------------------------------------------------------- whatever comes

order_ids = st.sampled_from(ORDERS)
happenings = st.lists(
    st.one_of(*(order_ids.map(make) for make in (paid, unpaid, short, restored)), order_ids),
    max_size=30,
)
wanted = st.fixed_dictionaries(dict.fromkeys(ORDERS, st.sampled_from(["i", "j", None, "none"])))


@settings(deadline=None)
@given(wanted, happenings)
def test_a_coupon_is_held_by_one_order_at_most(
    named: dict[str, str | None], happened: list[Event | str]
) -> None:
    """A text stands for the order's OrderCreated: it names the same coupon each time."""
    at = coupons(PLAIN, changed(issued_coupon_id="j"))
    states: dict[str, HoldState | None] = {}
    emitted: list[Event] = []
    for each in happened:
        event = created(each, named[each]) if isinstance(each, str) else each
        emitted += tell(reactions, event, at)
        hold = at.holds.get(event.key)
        now, before = hold.state if hold else None, states.get(event.key)
        assert now == before or (before, now) in FORWARD
        states[event.key] = now
        check_both_sides(at)
    assert is_distinct(emitted)


def check_both_sides(at: Coupons) -> None:
    """The orders that have a coupon, and the coupons that have an order, name each other."""
    has_it = (HoldState.HELD, HoldState.SETTLED)
    holds = [hold for each in ORDERS if (hold := at.holds.get(each)) and hold.state in has_it]
    by_order = [(hold.issued_coupon_id, hold.order_id) for hold in holds if hold.issued_coupon_id]
    by_coupon = [(each, at.issued[each].order_id) for each in ("i", "j")]
    assert sorted(by_order) == [pair for pair in by_coupon if pair[1] is not None]
