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
from product.domain import (
    MAX_STOCK,
    SEED,
    UNSETTLED,
    BookStock,
    ChangeProduct,
    CreateProduct,
    Hold,
    HoldState,
    Product,
    Shelves,
)
from product.reactions import reactions
from saga.errors import Refused
from saga.event import Event
from tests.unit.shelves import (
    LATER,
    LINES,
    NOW,
    cancelled,
    completed,
    failed,
    paid,
    product,
    refunded,
    shelves,
    used,
    waiting,
)
from tests.unit.telling import tell


def in_state(state: HoldState | None) -> Shelves:
    """The shelves when the order's row is in this state; 10 of a and 5 of b came in."""
    held = 1 if state is HoldState.HELD else 0
    gone = state in (HoldState.HELD, HoldState.SOLD)
    rows: list[Product | Hold] = [
        product("a", 8 if gone else 10, reserved=2 * held),
        product("b", 4 if gone else 5, reserved=held),
    ]
    if state is HoldState.WAITING:
        return waiting_shelves()
    if state is not None:
        lines = () if state is HoldState.REFUSED else LINES
        rows.append(Hold(order_id="o", state=state, items=lines, updated_at=NOW))
    return shelves(*rows)


def waiting_shelves() -> Shelves:
    """The order waits for both: it came when there was nothing, and nobody was served since."""
    at = shelves(product("a", 10, waiting=1), product("b", 5, waiting=1), waiting("o"))
    assert at.queues.first("a") is not None
    return at


Amounts = tuple[int, int]
"""What is available and what is reserved of a product."""


def amounts(at: Shelves) -> list[Amounts]:
    return [(at.products[each].available, at.products[each].reserved) for each in ("a", "b")]


def is_untouched(at: Shelves) -> bool:
    return not [*at.holds.inserted, *at.holds.updated, *at.products.updated, *at.ledger]


EVENTS: Mapping[str, Event] = {
    type(event).__name__: event
    for event in (used(), paid(), failed(), refunded(), completed(), cancelled())
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
    at = in_state(state)
    before = amounts(at)
    emitted = tell(reactions, EVENTS[name], at)
    if (state, name) not in MOVES:
        assert emitted == ()
        assert is_untouched(at)
        return
    after, emits, left = MOVES[state, name]
    assert at.holds["o"].state is after
    assert [type(event) for event in emitted] == ([emits] if emits else [])
    assert amounts(at) == left
    booked = {entry.product_id: entry for entry in at.ledger}
    changed = [now[0] - then[0] for now, then in zip(left, before, strict=True)]
    assert [booked[each].delta if each in booked else 0 for each in ("a", "b")] == changed
    prefix = "DEC" if name == "CouponUsed" else "INC"
    assert {entry.request_id for entry in at.ledger} <= {f"{prefix}-o"}


def test_the_states_and_events_are_all_of_them() -> None:
    assert {event.__name__ for event in reactions.handles} == set(EVENTS)
    assert frozenset({HoldState.WAITING, HoldState.HELD}) == UNSETTLED


@pytest.mark.parametrize("name", EVENTS)
@pytest.mark.parametrize("death", UNDOING)
def test_an_order_that_died_before_holds_nothing_and_a_late_comer_is_told(
    death: str, name: str
) -> None:
    at = in_state(None)
    tell(reactions, EVENTS[death], at)
    tombstone = at.holds["o"]
    emitted = tell(reactions, EVENTS[name], at)
    assert emitted == ((StockRestored(order_id="o", items=()),) if name == "CouponUsed" else ())
    assert at.holds.inserted == [tombstone]
    assert tombstone.is_tombstone
    assert [*at.products.updated, *at.ledger] == []


@pytest.mark.parametrize("state", [HoldState.HELD, HoldState.SOLD])
def test_stock_that_was_put_back_is_no_tombstone(state: HoldState) -> None:
    at = in_state(state)
    tell(reactions, refunded(), at)
    assert not at.holds["o"].is_tombstone
    assert tell(reactions, used(), at) == ()


@pytest.mark.parametrize("undoing", [failed(), refunded()], ids=UNDOING)
def test_what_is_said_and_written_when_the_stock_is_held_and_given_back(undoing: Event) -> None:
    at = in_state(None)
    (held,) = tell(reactions, used(), at)
    assert held == StockDecremented(
        order_id="o",
        customer_id="c",
        items=LINES,
        total_amount=67,
        discount_amount=7,
        payable_amount=60,
    )
    assert tell(reactions, undoing, at) == (StockRestored(order_id="o", items=LINES),)
    assert [(entry.request_id, entry.reason, entry.order_id) for entry in at.ledger] == [
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
def test_all_lines_or_none(
    lines: tuple[tuple[str, int], ...], reason: FailReason, blamed: str
) -> None:
    at = in_state(None)
    reactions.execute(CreateProduct(product_id="off", name="off", price=1, stock=5), at)
    off = ChangeProduct(product_id="off", status=ProductStatus.DISCONTINUED)
    reactions.execute(off, at)
    before = amounts(at)
    wanted = tuple(Line(product_id=each, quantity=count, price=1) for each, count in lines)
    emitted = reactions.react(used(lines=wanted), at)
    assert emitted == (StockUnavailable(order_id="o", reason=reason, product_id=blamed),)
    at.release()
    assert at.holds["o"].state is HoldState.REFUSED
    assert amounts(at) == before
    assert {entry.request_id for entry in at.ledger} == {"INITIAL"}


def test_the_last_unit_can_be_had_once() -> None:
    at = shelves(product("a", 1))
    one = (Line(product_id="a", quantity=1, price=30),)
    emitted = [reactions.react(used(order_id, one), at)[0] for order_id in ("o1", "o2")]
    assert [type(event) for event in emitted] == [StockDecremented, StockUnavailable]


# ---------------------------------------------------------------- commands


def test_the_stock_of_a_product_has_a_limit() -> None:
    at = shelves(product("a", MAX_STOCK - 1))
    one = BookStock(product_id="a", request_id="k", delta=1, reason="r", order_id=None)
    assert reactions.execute(one, at).value.balance_after == MAX_STOCK
    more = BookStock(product_id="a", request_id="l", delta=1, reason="r", order_id=None)
    with pytest.raises(Refused) as refused:
        reactions.execute(more, at)
    assert refused.value.code == "VALIDATION_ERROR"


def test_each_change_is_told_once_with_the_next_version() -> None:
    at = shelves(product("a", 3))
    for version, price, is_new in ((2, 40, True), (2, 40, False), (3, 41, True)):
        answer = reactions.execute(ChangeProduct(product_id="a", price=price), at)
        changed = answer.value
        assert (changed.version, changed.price, changed.available) == (version, price, 3)
        told = ProductChanged(
            product_id="a",
            version=version,
            name="a",
            price=price,
            status=ProductStatus.ACTIVE,
        )
        assert answer.events == ((told,) if is_new else ())


def test_seeding_twice_changes_nothing() -> None:
    at = shelves()
    first = [reactions.execute(command, at) for command in SEED]
    at.release()
    assert [len(answer.events) for answer in first] == [1] * len(SEED)
    rows, entries = at.products.inserted, list(at.ledger)
    again = [reactions.execute(command, at) for command in SEED]
    at.release()
    assert [answer.value for answer in again] == [answer.value for answer in first]
    assert [answer.events for answer in again] == [()] * len(SEED)
    assert (at.products.inserted, list(at.ledger)) == (rows, entries)


def test_each_price_is_noted_once_with_the_time_from_which_it_holds() -> None:
    at = shelves(product("a", 1))
    tell(reactions, CreateProduct(product_id="new", name="n", price=5, stock=0), at)
    for change in ({"price": 30}, {"name": "other"}, {"price": 31, "name": "b"}, {"price": 30}):
        tell(reactions, ChangeProduct(product_id="a", **change), at)
    noted = [(each.product_id, each.price, each.since) for each in at.prices]
    assert noted == [("new", 5, LATER), ("a", 31, LATER), ("a", 30, LATER)]
