"""Waiting for stock: who is served when, beside a plain reading of the rule."""

from dataclasses import dataclass, field

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
from product.domain import BookStock, ChangeProduct, EndWait, HoldState, Shelves
from product.reactions import reactions
from saga.event import Event
from saga.reactions import Reactions
from tests.unit import telling
from tests.unit.shelves import failed, paid, product, shelves, used

WAIT, REJECT = OnShortage.WAIT, OnShortage.REJECT


def tell(registry: Reactions, message: object, at: Shelves) -> tuple[Event, ...]:
    """What is said of orders; what carts are told of products is left out."""
    emitted = telling.tell(registry, message, at)
    return tuple(event for event in emitted if not isinstance(event, ProductChanged))


def lines(**quantities: int) -> tuple[Line, ...]:
    return tuple(
        Line(product_id=product_id, quantity=quantity, price=1)
        for product_id, quantity in quantities.items()
    )


def wants(at: Shelves, order_id: str, on_shortage: OnShortage = WAIT, **wanted: int) -> Event:
    (emitted,) = tell(reactions, used(order_id, lines(**wanted), on_shortage), at)
    return emitted


def brings(at: Shelves, delta: int, product_id: str = "a") -> list[str]:
    """Book stock in. Returns who was served with it, in order."""
    number = sum(1 for _ in at.ledger)
    book = BookStock(
        product_id=product_id, request_id=f"in-{number}", delta=delta, reason="", order_id=None
    )
    return served(tell(reactions, book, at))


def served(emitted: tuple[Event, ...]) -> list[str]:
    return [event.key for event in emitted if isinstance(event, StockDecremented)]


def test_an_order_takes_its_place_and_is_served_by_the_next_arrival() -> None:
    at = shelves(product("a", 1))
    assert wants(at, "first", a=2) == StockWaitlisted(order_id="first", position=1)
    assert wants(at, "second", a=1) == StockWaitlisted(order_id="second", position=2)
    assert (at.products["a"].available, at.products["a"].waiting) == (1, 2)
    assert at.holds["first"].state is HoldState.WAITING
    assert brings(at, 1) == ["first"]
    assert brings(at, 1) == ["second"]
    assert (at.products["a"].available, at.products["a"].reserved) == (0, 3)
    assert at.products["a"].waiting == 0


def test_what_is_said_then_is_what_would_have_been_said_at_once() -> None:
    at, full = shelves(product("a", 0)), shelves(product("a", 5))
    wants(at, "o", a=2)
    book = BookStock(product_id="a", request_id="in", delta=5, reason="", order_id=None)
    assert tell(reactions, book, at) == (wants(full, "o", a=2),)
    assert at.holds["o"] == full.holds["o"]
    assert [entry.request_id for entry in at.ledger] == ["in", "DEC-o"]


def test_who_does_not_wait_takes_what_nobody_who_waits_can_use_yet() -> None:
    at = shelves(product("a", 2))
    wants(at, "large", a=5)
    assert isinstance(wants(at, "hasty", REJECT, a=2), StockDecremented)
    assert isinstance(wants(at, "late", REJECT, a=1), StockUnavailable)


def test_who_waits_lets_nobody_pass() -> None:
    at = shelves(product("a", 2))
    wants(at, "large", a=5)
    assert wants(at, "small", a=1) == StockWaitlisted(order_id="small", position=2)
    assert brings(at, 2) == []
    assert brings(at, 2) == ["large", "small"]


def test_an_order_of_several_lines_holds_no_part_of_them_and_keeps_its_turn() -> None:
    at = shelves(product("a", 1), product("b", 0))
    wants(at, "both", a=1, b=1)
    wants(at, "one", a=1)
    assert at.products["a"].available == 1
    assert brings(at, 1, "a") == []
    assert brings(at, 1, "b") == ["both", "one"]


def test_an_order_that_is_served_lets_the_next_one_through_elsewhere() -> None:
    at = shelves(product("a", 0), product("b", 1), product("c", 1))
    wants(at, "ab", a=1, b=1)
    wants(at, "bc", b=1, c=1)
    wants(at, "c", c=1)
    brings(at, 1, "b")
    brings(at, 1, "c")
    assert brings(at, 1, "a") == ["ab", "bc", "c"]


def test_stock_that_comes_back_is_an_arrival() -> None:
    at = shelves(product("a", 2))
    wants(at, "poor", a=2)
    wants(at, "next", a=1)
    emitted = tell(reactions, failed("poor"), at)
    assert [type(event).__name__ for event in emitted] == ["StockRestored", "StockDecremented"]
    assert served(emitted) == ["next"]


def test_who_gives_up_makes_room() -> None:
    at = shelves(product("a", 2))
    wants(at, "large", a=5)
    wants(at, "small", a=2)
    refused, held = tell(reactions, EndWait(order_id="large"), at)
    assert refused == StockUnavailable(
        order_id="large", reason=FailReason.WAIT_EXPIRED, product_id="a"
    )
    assert served((held,)) == ["small"]
    assert at.holds["large"].state is HoldState.REFUSED
    assert tell(reactions, EndWait(order_id="large"), at) == ()
    assert tell(reactions, EndWait(order_id="small"), at) == ()


def test_an_order_that_died_while_it_waited_makes_room_and_gets_nothing() -> None:
    at = shelves(product("a", 2))
    wants(at, "large", a=5)
    wants(at, "small", a=2)
    assert served(tell(reactions, failed("large"), at)) == ["small"]
    assert at.holds["large"].is_tombstone
    assert brings(at, 9) == []


def test_nobody_waits_for_a_product_that_is_not_sold_any_more() -> None:
    at = shelves(product("a", 0), product("b", 1))
    wants(at, "both", a=1, b=1)
    wants(at, "only b", b=1)
    gone = ChangeProduct(product_id="a", status=ProductStatus.DISCONTINUED)
    refused, held = tell(reactions, gone, at)
    assert refused == StockUnavailable(
        order_id="both", reason=FailReason.PRODUCT_DISCONTINUED, product_id="a"
    )
    assert served((held,)) == ["only b"]
    assert at.products["a"].waiting == at.products["b"].waiting == 0


def test_an_order_for_what_nobody_can_have_does_not_wait() -> None:
    at = shelves(product("a", 0))
    refused = wants(at, "o", a=1, z=1)
    assert isinstance(refused, StockUnavailable)
    assert refused.reason is FailReason.PRODUCT_NOT_FOUND


def test_a_message_that_was_undone_has_never_stood_in_a_queue() -> None:
    at = shelves(product("a", 0))
    reactions.react(used("undone", lines(a=1), WAIT), at)
    at.roll_back()
    wants(at, "o", a=1)
    book = BookStock(product_id="a", request_id="in", delta=1, reason="", order_id=None)
    assert served(reactions.execute(book, at).events) == ["o"]
    at.roll_back()
    assert at.queues.first("a") == at.queues["a", "o"]
    assert brings(at, 1) == ["o"]


def test_carts_are_told_when_a_product_is_sold_out_and_when_it_is_back() -> None:
    at = shelves(product("a", 2), product("b", 5))

    def told(message: object) -> list[tuple[str, bool, int]]:
        emitted = telling.tell(reactions, message, at)
        changes = [event for event in emitted if isinstance(event, ProductChanged)]
        return [(each.product_id, each.sold_out, each.version) for each in changes]

    assert told(used("o", lines(a=2, b=1))) == [("a", True, 2)]
    assert told(used("late", lines(a=1), REJECT)) == []
    assert told(failed("o")) == [("a", False, 3)]
    wants(at, "waits", a=4)
    book = BookStock(product_id="a", request_id="in", delta=2, reason="", order_id=None)
    assert told(book) == [("a", True, 4)]  # what came in went to the one who waited


# ---------------------------------------------------------------- the rule, read plainly


@dataclass
class Rule:
    """The rule as one would say it, without queues: look at all who wait, the oldest first."""

    available: dict[str, int]
    waiting: list[tuple[str, dict[str, int]]] = field(default_factory=list)
    held: dict[str, dict[str, int]] = field(default_factory=dict)
    dead: set[str] = field(default_factory=set)

    def wants(self, order_id: str, wanted: dict[str, int], on_shortage: OnShortage) -> None:
        if order_id in self.dead:
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

    def die(self, order_id: str) -> None:
        """Also before it was ever heard of."""
        self.leave(order_id)
        self.put_back(order_id)
        self.dead.add(order_id)

    def put_back(self, order_id: str) -> None:
        for product_id, quantity in self.held.pop(order_id, {}).items():
            self.available[product_id] += quantity

    def _take(self, order_id: str, wanted: dict[str, int]) -> None:
        for product_id, quantity in wanted.items():
            self.available[product_id] -= quantity
        self.held[order_id] = wanted


IDS = st.integers(0, 7).map(str)
PRODUCTS = ("a", "b", "c")
happenings = st.lists(
    st.one_of(
        st.tuples(
            st.just("wants"),
            st.dictionaries(st.sampled_from(PRODUCTS), st.integers(1, 3), min_size=1),
            st.sampled_from([WAIT, WAIT, REJECT]),
        ),
        st.tuples(st.just("brings"), st.sampled_from(PRODUCTS), st.integers(1, 4)),
        st.tuples(st.sampled_from(["ends", "fails", "pays"]), IDS, st.none()),
    ),
    max_size=25,
)


@settings(deadline=None, max_examples=300)
@given(happenings)
def test_queues_serve_whom_the_rule_serves(happened: list[tuple[str, object, object]]) -> None:
    at = shelves(*(product(each, 2) for each in PRODUCTS))
    rule = Rule(dict.fromkeys(PRODUCTS, 2))
    placed = 0
    for what, argument, more in happened:
        match what, argument, more:
            case "wants", dict(), OnShortage():
                wants(at, str(placed), more, **argument)
                rule.wants(str(placed), argument, more)
                placed += 1
            case "brings", str(), int():
                brings(at, more, argument)
                rule.available[argument] += more
            case "ends", str(), _:
                tell(reactions, EndWait(order_id=argument), at)
                rule.leave(argument)
            case "fails", str(), _:
                tell(reactions, failed(argument), at)
                rule.die(argument)
            case "pays", str(), _:
                tell(reactions, paid(argument), at)
        rule.serve()
        check(at, rule)


def check(at: Shelves, rule: Rule) -> None:
    assert {each: at.products[each].available for each in PRODUCTS} == rule.available
    states = {order_id: at.holds[order_id].state for order_id in at.holds.changed_keys}
    waiting = [order_id for order_id, state in states.items() if state is HoldState.WAITING]
    assert sorted(waiting) == sorted(order_id for order_id, _ in rule.waiting)
    held = [each for each, state in states.items() if state in (HoldState.HELD, HoldState.SOLD)]
    assert sorted(held) == sorted(rule.held)
    for product_id in PRODUCTS:
        line = [place.order_id for place in at.queues.waiting(product_id)]
        assert line == [each for each, wanted in rule.waiting if product_id in wanted]
        assert at.products[product_id].waiting == len(line)
