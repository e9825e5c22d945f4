"""Stock: every event in every state, all lines or none, and the catalogue's commands."""

from collections.abc import Mapping

import pytest

from events.contract import (
    FailReason,
    Line,
    ProductChanged,
    ProductStatus,
    StockDecremented,
    StockRestored,
    StockUnavailable,
)
from product.commands import (
    SEED,
    BookStock,
    ChangeProduct,
    CreateCategory,
    CreateProduct,
    RenameCategory,
    SeedProduct,
)
from product.domain import MAX_STOCK, UNSETTLED, Hold, HoldState, Product
from product.reactions import reactions
from product.unit_of_work import ProductUnitOfWork
from saga.errors import Conflict, NotFound, Refused
from saga.event import Event
from tests.unit.handling import handle
from tests.unit.payment_events import payment_completed, payment_failed, payment_refunded
from tests.unit.product_fixtures import (
    LATER,
    LINES,
    NOW,
    coupon_used,
    product,
    unit_of_work,
    waiting_hold,
)


def in_state(state: HoldState | None) -> ProductUnitOfWork:
    """The rows when the order's hold is in this state; 10 of a and 5 of b were brought in."""
    held = 1 if state is HoldState.HELD else 0
    gone = state in (HoldState.HELD, HoldState.SOLD)
    rows: list[Product | Hold] = [
        product("a", 8 if gone else 10, reserved=2 * held),
        product("b", 4 if gone else 5, reserved=held),
    ]
    if state is HoldState.WAITING:
        return with_waiting_order()
    if state is not None:
        lines = () if state is HoldState.REFUSED else LINES
        rows.append(Hold(order_id="o", state=state, items=lines, updated_at=NOW))
    return unit_of_work(*rows)


def with_waiting_order() -> ProductUnitOfWork:
    """The order waits for both products: it joined when there were none, and was not served yet."""
    uow = unit_of_work(product("a", 10, waiting=1), product("b", 5, waiting=1), waiting_hold("o"))
    assert uow.queues.first("a") is not None
    return uow


Amounts = tuple[int, int]
"""The available and the reserved units of a product."""


def amounts(uow: ProductUnitOfWork) -> list[Amounts]:
    return [(uow.products[each].available, uow.products[each].reserved) for each in ("a", "b")]


def is_untouched(uow: ProductUnitOfWork) -> bool:
    return not [*uow.holds.inserted, *uow.holds.updated, *uow.products.updated, *uow.ledger]


EVENTS: Mapping[str, Event] = {
    type(event).__name__: event
    for event in (
        coupon_used(),
        payment_completed(),
        payment_failed(),
        payment_refunded(),
    )
}
UNDOING = ("PaymentFailed", "PaymentRefunded")
BACK = [(10, 0), (5, 0)]
MOVES: dict[tuple[HoldState | None, str], tuple[HoldState, type[Event] | None, list[Amounts]]] = {
    (None, "CouponUsed"): (HoldState.HELD, StockDecremented, [(8, 2), (4, 1)]),
    (HoldState.HELD, "PaymentCompleted"): (HoldState.SOLD, None, [(8, 0), (4, 0)]),
    **{(None, name): (HoldState.RELEASED, None, BACK) for name in UNDOING},
    **{(HoldState.WAITING, name): (HoldState.RELEASED, StockRestored, BACK) for name in UNDOING},
    **{(HoldState.HELD, name): (HoldState.RELEASED, StockRestored, BACK) for name in UNDOING},
    **{(HoldState.SOLD, name): (HoldState.RELEASED, StockRestored, BACK) for name in UNDOING},
}


@pytest.mark.parametrize("name", EVENTS)
@pytest.mark.parametrize("state", [None, *HoldState])
def test_every_event_in_every_state(state: HoldState | None, name: str) -> None:
    uow = in_state(state)
    before = amounts(uow)
    emitted = handle(reactions, EVENTS[name], uow)
    if (state, name) not in MOVES:
        assert emitted == ()
        assert is_untouched(uow)
        return
    after, emits, left = MOVES[state, name]
    assert uow.holds["o"].state is after
    assert [type(event) for event in emitted] == ([emits] if emits else [])
    assert amounts(uow) == left
    booked = {entry.product_id: entry for entry in uow.ledger}
    changed = [now[0] - then[0] for now, then in zip(left, before, strict=True)]
    assert [booked[each].delta if each in booked else 0 for each in ("a", "b")] == changed
    prefix = "DEC" if name == "CouponUsed" else "INC"
    assert {entry.request_id for entry in uow.ledger} <= {f"{prefix}-o"}


def test_states_and_events_are_complete() -> None:
    assert {event.__name__ for event in reactions.handles} == set(EVENTS)
    assert frozenset({HoldState.WAITING, HoldState.HELD}) == UNSETTLED


@pytest.mark.parametrize("name", EVENTS)
@pytest.mark.parametrize("undoing", UNDOING)
def test_late_coupon_used_of_tombstone_emits_stock_restored(undoing: str, name: str) -> None:
    uow = in_state(None)
    handle(reactions, EVENTS[undoing], uow)
    tombstone = uow.holds["o"]
    emitted = handle(reactions, EVENTS[name], uow)
    assert emitted == ((StockRestored(order_id="o", items=()),) if name == "CouponUsed" else ())
    assert uow.holds.inserted == [tombstone]
    assert tombstone.is_tombstone
    assert [*uow.products.updated, *uow.ledger] == []


@pytest.mark.parametrize("state", [HoldState.HELD, HoldState.SOLD])
def test_hold_with_restored_stock_is_no_tombstone(state: HoldState) -> None:
    uow = in_state(state)
    handle(reactions, payment_refunded(), uow)
    assert not uow.holds["o"].is_tombstone
    assert handle(reactions, coupon_used(), uow) == ()


@pytest.mark.parametrize("undoing", [payment_failed(), payment_refunded()], ids=UNDOING)
def test_events_and_ledger_of_stock_held_and_restored(undoing: Event) -> None:
    uow = in_state(None)
    (held,) = handle(reactions, coupon_used(), uow)
    assert held == StockDecremented(
        order_id="o",
        customer_id="c",
        items=LINES,
        total_amount=67,
        discount_amount=7,
        payable_amount=60,
    )
    assert handle(reactions, undoing, uow) == (StockRestored(order_id="o", items=LINES),)
    assert [(entry.request_id, entry.reason, entry.order_id) for entry in uow.ledger] == [
        ("DEC-o", "ORDER", "o"),
        ("DEC-o", "ORDER", "o"),
        ("INC-o", "ORDER_UNDONE", "o"),
        ("INC-o", "ORDER_UNDONE", "o"),
    ]


@pytest.mark.parametrize(
    ("lines", "reason", "blamed"),
    [
        ((("a", 10), ("b", 6)), FailReason.INSUFFICIENT_STOCK, "b"),
        ((("a", 11), ("b", 6)), FailReason.INSUFFICIENT_STOCK, "a"),
        ((("a", 1), ("x", 1)), FailReason.PRODUCT_NOT_FOUND, "x"),
        ((("a", 1), ("off", 1)), FailReason.PRODUCT_DISCONTINUED, "off"),
    ],
)
def test_order_holds_all_lines_or_none(
    lines: tuple[tuple[str, int], ...], reason: FailReason, blamed: str
) -> None:
    uow = in_state(None)
    reactions.execute(CreateProduct(product_id="off", name="off", price=1, stock=5), uow)
    off = ChangeProduct(product_id="off", status=ProductStatus.DISCONTINUED)
    reactions.execute(off, uow)
    before = amounts(uow)
    wanted = tuple(Line(product_id=each, quantity=count, price=1) for each, count in lines)
    emitted = reactions.react(coupon_used(lines=wanted), uow)
    assert emitted == (StockUnavailable(order_id="o", reason=reason, product_id=blamed),)
    uow.release()
    assert uow.holds["o"].state is HoldState.REFUSED
    assert amounts(uow) == before
    assert {entry.request_id for entry in uow.ledger} == {"INITIAL"}


def test_last_unit_is_held_once() -> None:
    uow = unit_of_work(product("a", 1))
    one = (Line(product_id="a", quantity=1, price=30),)
    emitted = [reactions.react(coupon_used(order_id, one), uow)[0] for order_id in ("o1", "o2")]
    assert [type(event) for event in emitted] == [StockDecremented, StockUnavailable]


# ---------------------------------------------------------------- commands


def test_stock_of_product_is_limited() -> None:
    uow = unit_of_work(product("a", MAX_STOCK - 1))
    one = BookStock(product_id="a", request_id="k", delta=1, reason="r", order_id=None)
    assert reactions.execute(one, uow).value.balance_after == MAX_STOCK
    more = BookStock(product_id="a", request_id="l", delta=1, reason="r", order_id=None)
    with pytest.raises(Refused) as refused:
        reactions.execute(more, uow)
    assert refused.value.code == "VALIDATION_ERROR"


def test_stock_below_zero_takes_units_and_gives_none() -> None:
    """A restored product can be there. Units that come in may leave it below zero."""
    uow = unit_of_work(product("a", -5))
    more = BookStock(product_id="a", request_id="k", delta=3, reason="r", order_id=None)
    assert reactions.execute(more, uow).value.balance_after == -2
    fewer = BookStock(product_id="a", request_id="l", delta=-1, reason="r", order_id=None)
    with pytest.raises(Refused) as refused:
        reactions.execute(fewer, uow)
    assert refused.value.code == "INSUFFICIENT_STOCK"


def test_each_change_emits_product_changed_once_with_next_version() -> None:
    uow = unit_of_work(product("a", 3))
    for version, price, is_new in ((2, 40, True), (2, 40, False), (3, 41, True)):
        result = reactions.execute(ChangeProduct(product_id="a", price=price), uow)
        changed = result.value
        assert (changed.version, changed.price, changed.available) == (version, price, 3)
        event = ProductChanged(
            product_id="a",
            version=version,
            name="a",
            price=price,
            status=ProductStatus.ACTIVE,
        )
        assert result.events == ((event,) if is_new else ())


def test_seeding_is_idempotent() -> None:
    uow = unit_of_work()
    first = [reactions.execute(command, uow) for command in SEED]
    uow.release()
    assert [len(result.events) for result in first] == [
        isinstance(command, SeedProduct) for command in SEED
    ]
    rows, entries = uow.products.inserted, list(uow.ledger)
    again = [reactions.execute(command, uow) for command in SEED]
    uow.release()
    assert [result.value for result in again] == [result.value for result in first]
    assert [result.events for result in again] == [()] * len(SEED)
    assert (uow.products.inserted, list(uow.ledger)) == (rows, entries)


# ---------------------------------------------------------------- categories


def test_product_names_a_category_of_the_same_batch_by_its_current_name() -> None:
    uow = unit_of_work(product("a", 1))
    handle(reactions, CreateCategory(category_id="k", name="old"), uow)
    handle(reactions, ChangeProduct(product_id="a", category="old"), uow)
    handle(reactions, RenameCategory(category_id="k", name="new"), uow)
    assert uow.products["a"].category == "new"
    with pytest.raises(Refused) as refused:
        reactions.execute(ChangeProduct(product_id="a", category="old"), uow)
    assert refused.value.code == "CATEGORY_NOT_FOUND"
    uow.roll_back()
    handle(reactions, CreateCategory(category_id="l", name="old"), uow)
    with pytest.raises(Conflict) as conflict:
        reactions.execute(RenameCategory(category_id="l", name="new"), uow)
    assert conflict.value.code == "CATEGORY_EXISTS"


def test_unknown_category_is_not_renamed() -> None:
    with pytest.raises(NotFound):
        reactions.execute(RenameCategory(category_id="k", name="new"), unit_of_work())


def test_each_price_change_is_recorded_once_with_its_time() -> None:
    uow = unit_of_work(product("a", 1))
    handle(reactions, CreateProduct(product_id="new", name="n", price=5, stock=0), uow)
    for change in ({"price": 30}, {"name": "other"}, {"price": 31, "name": "b"}, {"price": 30}):
        handle(reactions, ChangeProduct(product_id="a", **change), uow)
    recorded = [(each.product_id, each.price, each.since) for each in uow.prices]
    assert recorded == [("new", 5, LATER), ("a", 31, LATER), ("a", 30, LATER)]
