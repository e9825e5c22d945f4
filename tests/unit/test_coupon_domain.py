"""Coupons: every event in every state, discounts, and one order at most that holds a coupon."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coupon.commands import RevokeIssued
from coupon.domain import (
    HONOURED_FOR,
    UNSETTLED,
    CouponStatus,
    DiscountType,
    Hold,
    HoldState,
    IssuedCoupon,
)
from coupon.reactions import reactions
from coupon.unit_of_work import CouponUnitOfWork
from events.contract import (
    CouponRejected,
    CouponRestored,
    CouponUsed,
    FailReason,
    Line,
    OrderCreated,
    StockRestored,
    StockUnavailable,
)
from saga.errors import Conflict
from saga.event import Event
from saga.unit_of_work import Rows
from tests.unit.handling import handle, is_distinct
from tests.unit.payment_events import payment_completed, payment_failed

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


def unit_of_work(*rows: Hold | IssuedCoupon) -> CouponUnitOfWork:
    return CouponUnitOfWork(
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


def short(order_id: str = "o1") -> StockUnavailable:
    reason = FailReason.INSUFFICIENT_STOCK
    return StockUnavailable(order_id=order_id, reason=reason, product_id="p")


def restored(order_id: str = "o1") -> StockRestored:
    return StockRestored(order_id=order_id, items=LINES)


def in_state(state: HoldState | None) -> CouponUnitOfWork:
    """With the order's row in this state; its coupon is i."""
    has_it = state in (HoldState.HELD, HoldState.SETTLED)
    issued = PLAIN.use("o1", NOW) if has_it else PLAIN
    if state is None:
        return unit_of_work(issued)
    named = None if state is HoldState.REFUSED else "i"
    hold = Hold(
        order_id="o1", state=state, issued_coupon_id=named, discount_amount=10, updated_at=NOW
    )
    return unit_of_work(hold, issued)


EVENTS: dict[str, Event] = {
    type(event).__name__: event
    for event in (created(), payment_completed("o1"), payment_failed("o1"), short(), restored())
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
    uow = in_state(state)
    emitted = handle(reactions, EVENTS[name], uow)
    if (state, name) not in MOVES:
        assert emitted == ()
        assert [*uow.holds.inserted, *uow.holds.updated, *uow.issued.updated] == []
        return
    after, emits = MOVES[state, name]
    assert uow.holds["o1"].state is after
    assert [type(event) for event in emitted] == ([emits] if emits else [])
    has_it = after in (HoldState.HELD, HoldState.SETTLED)
    assert uow.issued["i"].order_id == ("o1" if has_it else None)
    assert uow.issued["i"].used_at == (NOW if has_it else None)


def test_every_event_is_tested() -> None:
    assert {event.__name__ for event in reactions.handles} == set(EVENTS)
    assert frozenset({HoldState.HELD}) == UNSETTLED


def test_coupon_is_used_and_given_back() -> None:
    uow = in_state(None)
    (used,) = reactions.react(created(), uow)
    assert used == CouponUsed(
        order_id="o1",
        customer_id="c",
        items=LINES,
        total_amount=60,
        discount_amount=10,
        payable_amount=50,
        coupon_id="i",
    )
    assert reactions.react(payment_failed("o1"), uow) == (
        CouponRestored(order_id="o1", coupon_id="i"),
    )
    (again,) = reactions.react(created("o2"), uow)
    assert isinstance(again, CouponUsed)


def test_order_without_coupon_has_discount_zero() -> None:
    uow = unit_of_work()
    (used,) = reactions.react(created(coupon=None), uow)
    assert isinstance(used, CouponUsed)
    assert (used.discount_amount, used.payable_amount, used.coupon_id) == (0, 60, None)
    assert reactions.react(short(), uow) == (CouponRestored(order_id="o1", coupon_id=None),)


def test_coupon_of_another_order_is_not_given_back() -> None:
    """Only the order that has it may give it back."""
    hold = Hold(
        order_id="o1",
        state=HoldState.HELD,
        issued_coupon_id="i",
        discount_amount=10,
        updated_at=NOW,
    )
    uow = unit_of_work(hold, PLAIN.use("o2", NOW))
    reactions.react(payment_failed("o1"), uow)
    uow.release()
    assert uow.issued["i"].order_id == "o2"


def changed(**terms: object) -> IssuedCoupon:
    return msgspec.structs.replace(PLAIN, **terms)


@pytest.mark.parametrize(
    ("coupon", "reason"),
    [
        (changed(issued_coupon_id="other"), FailReason.COUPON_NOT_FOUND),
        (changed(customer_id="someone"), FailReason.COUPON_NOT_OWNED),
        (changed(order_id="o9"), FailReason.COUPON_ALREADY_USED),
        (changed(valid_until=NOW), FailReason.COUPON_EXPIRED),
        (changed(valid_from=NOW + SECOND), FailReason.COUPON_NOT_YET_VALID),
        (changed(revoked_at=NOW, valid_until=NOW), FailReason.COUPON_REVOKED),
        (changed(min_order_amount=61), FailReason.COUPON_MIN_AMOUNT),
        (changed(valid_until=NOW + SECOND, valid_from=NOW, min_order_amount=60), None),
    ],
)
def test_coupon_is_refused_with_reason(coupon: IssuedCoupon, reason: FailReason | None) -> None:
    uow = unit_of_work(coupon)
    (emitted,) = reactions.react(created(), uow)
    uow.release()
    if reason is None:
        assert isinstance(emitted, CouponUsed)
        return
    assert emitted == CouponRejected(order_id="o1", reason=reason)
    assert uow.holds["o1"].state is HoldState.REFUSED
    assert uow.issued.updated == []


LATE = HONOURED_FOR - SECOND
TOO_LATE = HONOURED_FOR + SECOND


@pytest.mark.parametrize(
    ("accepted_before", "terms", "reason"),
    [
        (LATE, {"valid_until": NOW - LATE + SECOND}, None),
        (LATE, {"valid_until": NOW - LATE}, FailReason.COUPON_EXPIRED),
        (TOO_LATE, {"valid_until": NOW - HONOURED_FOR}, FailReason.COUPON_EXPIRED),
        (TOO_LATE, {"valid_until": NOW - HONOURED_FOR + SECOND}, None),
        (SECOND, {"valid_from": NOW}, FailReason.COUPON_NOT_YET_VALID),
        (SECOND, {"valid_from": NOW - SECOND}, None),
        (-SECOND, {"valid_from": NOW + SECOND}, FailReason.COUPON_NOT_YET_VALID),
        (-SECOND, {"valid_from": NOW, "valid_until": NOW + SECOND}, None),
        (None, {"valid_until": NOW}, FailReason.COUPON_EXPIRED),
        (LATE, {"revoked_at": NOW}, FailReason.COUPON_REVOKED),
    ],
)
def test_coupon_is_judged_by_the_time_at_which_its_order_was_accepted(
    accepted_before: timedelta | None, terms: dict[str, object], reason: FailReason | None
) -> None:
    """Not by a later time than now, and not more than a day ago."""
    uow = unit_of_work(changed(**terms))
    accepted_at = None if accepted_before is None else NOW - accepted_before
    event = msgspec.structs.replace(created(), accepted_at=accepted_at)
    (emitted,) = reactions.react(event, uow)
    assert (emitted.reason if isinstance(emitted, CouponRejected) else None) is reason


def test_order_of_an_honoured_coupon_is_judged_once() -> None:
    """The same event again, however late, changes nothing."""
    uow = unit_of_work(changed(valid_until=NOW))
    event = msgspec.structs.replace(created(), accepted_at=NOW - SECOND)
    (used,) = reactions.react(event, uow)
    assert isinstance(used, CouponUsed)
    reactions.react(payment_failed("o1"), uow)
    assert reactions.react(event, uow) == ()
    assert uow.issued["i"].status(NOW) is CouponStatus.EXPIRED


def test_coupon_that_no_order_uses_is_revoked() -> None:
    uow = unit_of_work(PLAIN)
    revoke = RevokeIssued(issued_coupon_id="i")
    once = reactions.execute(revoke, uow).value
    assert once.status(NOW) is CouponStatus.REVOKED
    assert reactions.execute(revoke, uow).value == once
    (rejected,) = reactions.react(created(), uow)
    assert rejected == CouponRejected(order_id="o1", reason=FailReason.COUPON_REVOKED)


@pytest.mark.parametrize("state", [HoldState.HELD, HoldState.SETTLED])
def test_coupon_that_an_order_uses_is_not_revoked(state: HoldState) -> None:
    uow = in_state(state)
    with pytest.raises(Conflict) as refused:
        reactions.execute(RevokeIssued(issued_coupon_id="i"), uow)
    assert refused.value.code == "COUPON_ALREADY_USED"
    assert uow.issued["i"].revoked_at is None


def test_coupon_status() -> None:
    assert PLAIN.status(NOW) is CouponStatus.ISSUED
    ending = changed(valid_until=NOW)
    assert ending.status(NOW - SECOND) is CouponStatus.ISSUED
    assert ending.status(NOW) is CouponStatus.EXPIRED
    assert ending.use("o1", NOW).status(NOW + SECOND) is CouponStatus.USED


# ---------------------------------------------------------------- discounts

amounts = st.integers(1, 10**15)


@settings(deadline=None)
@given(amounts, st.integers(1, 10**9))
def test_fixed_discount_is_capped_at_amount(amount: int, value: int) -> None:
    assert changed(discount_value=value).discount(amount) == min(amount, value)


@settings(deadline=None)
@given(amounts, st.integers(1, 100))
def test_rate_discount_is_rounded_down(amount: int, rate: int) -> None:
    discount = changed(discount_type=DiscountType.RATE, discount_value=rate).discount(amount)
    assert 0 <= discount <= amount
    assert discount * 100 <= amount * rate < (discount + 1) * 100


# ---------------------------------------------------------------- any sequence of events

order_ids = st.sampled_from(ORDERS)
event_lists = st.lists(
    st.one_of(
        *(order_ids.map(make) for make in (payment_completed, payment_failed, short, restored)),
        order_ids,
    ),
    max_size=30,
)
wanted = st.fixed_dictionaries(dict.fromkeys(ORDERS, st.sampled_from(["i", "j", None, "none"])))


@settings(deadline=None)
@given(wanted, event_lists)
def test_coupon_is_held_by_at_most_one_order(
    named: dict[str, str | None], events: list[Event | str]
) -> None:
    """A str stands for an order's OrderCreated, which names the same coupon each time."""
    uow = unit_of_work(PLAIN, changed(issued_coupon_id="j"))
    states: dict[str, HoldState | None] = {}
    emitted: list[Event] = []
    for each in events:
        event = created(each, named[each]) if isinstance(each, str) else each
        emitted += handle(reactions, event, uow)
        hold = uow.holds.get(event.key)
        now, before = hold.state if hold else None, states.get(event.key)
        assert now == before or (before, now) in FORWARD
        states[event.key] = now
        check_both_sides(uow)
    assert is_distinct(emitted)


def check_both_sides(uow: CouponUnitOfWork) -> None:
    """Orders with a coupon and coupons with an order name each other."""
    has_it = (HoldState.HELD, HoldState.SETTLED)
    holds = [hold for each in ORDERS if (hold := uow.holds.get(each)) and hold.state in has_it]
    by_order = [(hold.issued_coupon_id, hold.order_id) for hold in holds if hold.issued_coupon_id]
    by_coupon = [(each, uow.issued[each].order_id) for each in ("i", "j")]
    assert sorted(by_order) == [pair for pair in by_coupon if pair[1] is not None]
