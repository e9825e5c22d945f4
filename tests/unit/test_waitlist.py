"""Waiting for stock: which order is served when, compared with a plain model of the rule."""

from dataclasses import dataclass, field

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from events.contract import (
    FailReason,
    Line,
    OnShortage,
    ProductChanged,
    ProductStatus,
    StockDecremented,
    StockUnavailable,
    StockWaitlisted,
)
from product.commands import BookStock, ChangeProduct, EndWait, ShowAvailability
from product.domain import HoldState
from product.reactions import reactions
from product.unit_of_work import ProductUnitOfWork
from saga.event import Event
from tests.unit.handling import handle
from tests.unit.payment_events import payment_completed, payment_failed
from tests.unit.product_fixtures import coupon_used, product, unit_of_work

WAIT, REJECT = OnShortage.WAIT, OnShortage.REJECT


def order_events(message: object, uow: ProductUnitOfWork) -> tuple[Event, ...]:
    """The events about orders that the message emits, without those about products."""
    emitted = handle(reactions, message, uow)
    return tuple(event for event in emitted if not isinstance(event, ProductChanged))


def lines(**quantities: int) -> tuple[Line, ...]:
    return tuple(
        Line(product_id=product_id, quantity=quantity, price=1)
        for product_id, quantity in quantities.items()
    )


def place(
    uow: ProductUnitOfWork, order_id: str, on_shortage: OnShortage = WAIT, **wanted: int
) -> Event:
    (emitted,) = order_events(coupon_used(order_id, lines(**wanted), on_shortage), uow)
    return emitted


def bring_in(uow: ProductUnitOfWork, delta: int, product_id: str = "a") -> list[str]:
    """Book stock in. Returns the orders that are served with it, in their order."""
    number = sum(1 for _ in uow.ledger)
    book = BookStock(
        product_id=product_id, request_id=f"in-{number}", delta=delta, reason="", order_id=None
    )
    return served_orders(order_events(book, uow))


def served_orders(emitted: tuple[Event, ...]) -> list[str]:
    return [event.key for event in emitted if isinstance(event, StockDecremented)]


def test_waiting_order_is_served_by_next_booking() -> None:
    uow = unit_of_work(product("a", 1))
    assert place(uow, "first", a=2) == StockWaitlisted(order_id="first", position=1)
    assert place(uow, "second", a=1) == StockWaitlisted(order_id="second", position=2)
    assert (uow.products["a"].available, uow.products["a"].waiting) == (1, 2)
    assert uow.holds["first"].state is HoldState.WAITING
    assert bring_in(uow, 1) == ["first"]
    assert bring_in(uow, 1) == ["second"]
    assert (uow.products["a"].available, uow.products["a"].reserved) == (0, 3)
    assert uow.products["a"].waiting == 0


def test_order_served_after_wait_emits_same_event_as_at_once() -> None:
    uow, full = unit_of_work(product("a", 0)), unit_of_work(product("a", 5))
    place(uow, "o", a=2)
    book = BookStock(product_id="a", request_id="in", delta=5, reason="", order_id=None)
    assert order_events(book, uow) == (place(full, "o", a=2),)
    assert uow.holds["o"] == full.holds["o"]
    assert [entry.request_id for entry in uow.ledger] == ["in", "DEC-o"]


def test_order_that_does_not_wait_takes_stock_the_queue_cannot_use_yet() -> None:
    uow = unit_of_work(product("a", 2))
    place(uow, "large", a=5)
    assert isinstance(place(uow, "at once", REJECT, a=2), StockDecremented)
    assert isinstance(place(uow, "late", REJECT, a=1), StockUnavailable)


def test_waiting_order_does_not_overtake() -> None:
    uow = unit_of_work(product("a", 2))
    place(uow, "large", a=5)
    assert place(uow, "small", a=1) == StockWaitlisted(order_id="small", position=2)
    assert bring_in(uow, 2) == []
    assert bring_in(uow, 2) == ["large", "small"]


def test_order_of_several_lines_holds_no_part_and_keeps_its_place() -> None:
    uow = unit_of_work(product("a", 1), product("b", 0))
    place(uow, "both", a=1, b=1)
    place(uow, "one", a=1)
    assert uow.products["a"].available == 1
    assert bring_in(uow, 1, "a") == []
    assert bring_in(uow, 1, "b") == ["both", "one"]


def test_served_order_makes_next_ones_first_in_other_queues() -> None:
    uow = unit_of_work(product("a", 0), product("b", 1), product("c", 1))
    place(uow, "ab", a=1, b=1)
    place(uow, "bc", b=1, c=1)
    place(uow, "c", c=1)
    bring_in(uow, 1, "b")
    bring_in(uow, 1, "c")
    assert bring_in(uow, 1, "a") == ["ab", "bc", "c"]


def test_restored_stock_serves_the_queue() -> None:
    uow = unit_of_work(product("a", 2))
    place(uow, "poor", a=2)
    place(uow, "next", a=1)
    emitted = order_events(payment_failed("poor"), uow)
    assert [type(event).__name__ for event in emitted] == ["StockRestored", "StockDecremented"]
    assert served_orders(emitted) == ["next"]


def test_expired_wait_serves_next_order() -> None:
    uow = unit_of_work(product("a", 2))
    place(uow, "large", a=5)
    place(uow, "small", a=2)
    refused, held = order_events(EndWait(order_id="large"), uow)
    assert refused == StockUnavailable(
        order_id="large", reason=FailReason.WAIT_EXPIRED, product_id="a"
    )
    assert served_orders((held,)) == ["small"]
    assert uow.holds["large"].state is HoldState.REFUSED
    assert order_events(EndWait(order_id="large"), uow) == ()
    assert order_events(EndWait(order_id="small"), uow) == ()


def test_order_that_fails_while_waiting_leaves_a_tombstone_and_serves_next() -> None:
    uow = unit_of_work(product("a", 2))
    place(uow, "large", a=5)
    place(uow, "small", a=2)
    assert served_orders(order_events(payment_failed("large"), uow)) == ["small"]
    assert uow.holds["large"].is_tombstone
    assert bring_in(uow, 9) == []


def test_discontinued_product_refuses_waiting_orders() -> None:
    uow = unit_of_work(product("a", 0), product("b", 1))
    place(uow, "both", a=1, b=1)
    place(uow, "only b", b=1)
    gone = ChangeProduct(product_id="a", status=ProductStatus.DISCONTINUED)
    refused, held = order_events(gone, uow)
    assert refused == StockUnavailable(
        order_id="both", reason=FailReason.PRODUCT_DISCONTINUED, product_id="a"
    )
    assert served_orders((held,)) == ["only b"]
    assert uow.products["a"].waiting == uow.products["b"].waiting == 0


def test_order_of_unknown_product_does_not_wait() -> None:
    uow = unit_of_work(product("a", 0))
    refused = place(uow, "o", a=1, z=1)
    assert isinstance(refused, StockUnavailable)
    assert refused.reason is FailReason.PRODUCT_NOT_FOUND


def test_rolled_back_message_leaves_no_place_in_a_queue() -> None:
    uow = unit_of_work(product("a", 0))
    reactions.react(coupon_used("undone", lines(a=1), WAIT), uow)
    uow.roll_back()
    place(uow, "o", a=1)
    book = BookStock(product_id="a", request_id="in", delta=1, reason="", order_id=None)
    assert served_orders(reactions.execute(book, uow).events) == ["o"]
    uow.roll_back()
    assert uow.queues.first("a") == uow.queues["a", "o"]
    assert bring_in(uow, 1) == ["o"]


def test_product_changed_when_sold_out_and_when_available_again() -> None:
    uow = unit_of_work(product("a", 2), product("b", 5))

    def changes(message: object) -> list[tuple[str, bool, int]]:
        emitted = handle(reactions, message, uow)
        return [
            (event.product_id, event.sold_out, event.version)
            for event in emitted
            if isinstance(event, ProductChanged)
        ]

    assert changes(coupon_used("o", lines(a=2, b=1))) == [("a", True, 2)]
    assert changes(coupon_used("late", lines(a=1), REJECT)) == []
    assert changes(payment_failed("o")) == [("a", False, 3)]
    place(uow, "waits", a=4)
    book = BookStock(product_id="a", request_id="in", delta=2, reason="", order_id=None)
    assert changes(book) == [("a", True, 4)]  # the waiting order took what came in


def test_product_is_sold_out_while_its_available_units_are_below_zero() -> None:
    """A restored database adopts what it has sold, before an operator books what had come in."""
    uow = unit_of_work(product("a", -2))
    change = ChangeProduct(product_id="a", price=1)
    (changed,) = reactions.execute(change, uow).events
    assert isinstance(changed, ProductChanged)
    assert changed.sold_out
    book = BookStock(product_id="a", request_id="in", delta=1, reason="", order_id=None)
    assert reactions.execute(book, uow).events == ()


def test_restored_product_corrects_what_others_are_shown() -> None:
    """Adopting moves stock and publishes nothing."""
    restored = msgspec.structs.replace(product("a", 2), sold_out=True)
    uow = unit_of_work(restored, product("b", 2))
    (changed,) = reactions.execute(ShowAvailability(product_id="a"), uow).events
    assert isinstance(changed, ProductChanged)
    assert (changed.sold_out, changed.version) == (False, restored.version + 1)
    uow.release()
    assert reactions.execute(ShowAvailability(product_id="a"), uow).events == ()
    assert reactions.execute(ShowAvailability(product_id="b"), uow).events == ()


# ---------------------------------------------------------------- the rule, as a plain model


@dataclass
class Rule:
    """The rule without queues: go through all waiting orders, the oldest first."""

    available: dict[str, int]
    waiting: list[tuple[str, dict[str, int]]] = field(default_factory=list)
    held: dict[str, dict[str, int]] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)

    def place(self, order_id: str, wanted: dict[str, int], on_shortage: OnShortage) -> None:
        if order_id in self.failed:
            return
        is_free = all(self.available[each] >= wanted[each] for each in wanted)
        is_behind = any(other.keys() & wanted.keys() for _, other in self.waiting)
        if on_shortage is WAIT and (is_behind or not is_free):
            self.waiting.append((order_id, wanted))
        elif is_free:
            self._take(order_id, wanted)

    def serve(self) -> None:
        wanted_before: set[str] = set()
        for order_id, wanted in self.waiting:
            is_free = all(self.available[each] >= wanted[each] for each in wanted)
            if is_free and not wanted_before & wanted.keys():
                self.waiting.remove((order_id, wanted))
                self._take(order_id, wanted)
                return self.serve()
            wanted_before |= wanted.keys()
        return None

    def leave(self, order_id: str) -> None:
        self.waiting = [each for each in self.waiting if each[0] != order_id]

    def fail(self, order_id: str) -> None:
        """Possibly before the order is known here."""
        self.leave(order_id)
        self.restore(order_id)
        self.failed.add(order_id)

    def restore(self, order_id: str) -> None:
        for product_id, quantity in self.held.pop(order_id, {}).items():
            self.available[product_id] += quantity

    def _take(self, order_id: str, wanted: dict[str, int]) -> None:
        for product_id, quantity in wanted.items():
            self.available[product_id] -= quantity
        self.held[order_id] = wanted


IDS = st.integers(0, 7).map(str)
PRODUCTS = ("a", "b", "c")
steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("place"),
            st.dictionaries(st.sampled_from(PRODUCTS), st.integers(1, 3), min_size=1),
            st.sampled_from([WAIT, WAIT, REJECT]),
        ),
        st.tuples(st.just("book"), st.sampled_from(PRODUCTS), st.integers(1, 4)),
        st.tuples(st.sampled_from(["end wait", "fail", "pay"]), IDS, st.none()),
    ),
    max_size=25,
)


@settings(deadline=None, max_examples=300)
@given(steps)
def test_queues_serve_the_orders_that_the_rule_serves(
    happened: list[tuple[str, object, object]],
) -> None:
    uow = unit_of_work(*(product(each, 2) for each in PRODUCTS))
    rule = Rule(dict.fromkeys(PRODUCTS, 2))
    placed = 0
    for what, argument, more in happened:
        match what, argument, more:
            case "place", dict(), OnShortage():
                place(uow, str(placed), more, **argument)
                rule.place(str(placed), argument, more)
                placed += 1
            case "book", str(), int():
                bring_in(uow, more, argument)
                rule.available[argument] += more
            case "end wait", str(), _:
                order_events(EndWait(order_id=argument), uow)
                rule.leave(argument)
            case "fail", str(), _:
                order_events(payment_failed(argument), uow)
                rule.fail(argument)
            case "pay", str(), _:
                order_events(payment_completed(argument), uow)
        rule.serve()
        check(uow, rule)


def check(uow: ProductUnitOfWork, rule: Rule) -> None:
    assert {each: uow.products[each].available for each in PRODUCTS} == rule.available
    states = {order_id: uow.holds[order_id].state for order_id in uow.holds.changed_keys}
    waiting = [order_id for order_id, state in states.items() if state is HoldState.WAITING]
    assert sorted(waiting) == sorted(order_id for order_id, _ in rule.waiting)
    held = [each for each, state in states.items() if state in (HoldState.HELD, HoldState.SOLD)]
    assert sorted(held) == sorted(rule.held)
    for product_id in PRODUCTS:
        line = [place.order_id for place in uow.queues.waiting(product_id)]
        assert line == [each for each, wanted in rule.waiting if product_id in wanted]
        assert uow.products[product_id].waiting == len(line)
