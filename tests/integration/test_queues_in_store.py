"""Queues for stock as the service works on them: in batches that load no more than they need."""

from itertools import count
from uuid import UUID

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine, text

from events.contract import OnShortage
from product import store, tables
from product.domain import BookStock, CreateProduct, EndWait, HoldState
from product.reactions import reactions
from tests.unit.shelves import LATER, failed, used
from tests.unit.telling import tell
from tests.unit.test_waiting_for_stock import Rule, lines

WAIT, REJECT = OnShortage.WAIT, OnShortage.REJECT
CUSTOMER = str(UUID(int=99))
PRODUCTS = tuple(str(UUID(int=number)) for number in (101, 102, 103))
QUANTITIES = st.dictionaries(st.sampled_from(PRODUCTS), st.integers(1, 3), min_size=1)
ORDERS = st.integers(0, 9).map(lambda number: str(UUID(int=number)))
HAPPENINGS = st.one_of(
    st.tuples(st.just("wants"), QUANTITIES, st.sampled_from([WAIT, WAIT, REJECT])),
    st.tuples(st.just("books"), st.sampled_from(PRODUCTS), st.sampled_from([-2, -1, 1, 2, 5])),
    st.tuples(st.sampled_from(["ends", "fails"]), ORDERS, st.none()),
)
Happening = tuple[str, object, object]


@settings(deadline=None, max_examples=300)
@given(st.lists(st.lists(HAPPENINGS, min_size=1, max_size=5), max_size=12))
def test_batches_serve_whom_the_rule_serves(batches: list[list[Happening]]) -> None:
    engine = create_engine("sqlite://")
    tables.schema.create_all(engine)
    rule = Rule(dict.fromkeys(PRODUCTS, 2))
    numbers = count()
    placed = count()
    with engine.begin() as connection:
        work(connection, [CreateProduct(product_id=e, name=e, price=1, stock=2) for e in PRODUCTS])
        for batch in batches:
            messages = [message(happening, rule, placed, numbers) for happening in batch]
            work(connection, messages)
            check(connection, rule)
    engine.dispose()


def work(connection: Connection, messages: list[object]) -> None:
    """As a batch does: load what these need, react, save."""
    shelves = store.load(connection, messages, LATER)
    for each in messages:
        tell(reactions, each, shelves)
    store.save(connection, shelves)


def message(
    happening: Happening, rule: Rule, placed: "count[int]", numbers: "count[int]"
) -> object:
    """What product is told, and what the rule makes of it."""
    match happening:
        case "wants", dict() as wanted, OnShortage() as on_shortage:
            order_id = str(UUID(int=next(placed)))
            rule.wants(order_id, wanted, on_shortage)
            received = used(order_id, lines(**wanted), on_shortage)
            return msgspec.structs.replace(received, customer_id=CUSTOMER)
        case "books", str() as product_id, int() as delta:
            if rule.available[product_id] + delta >= 0:
                rule.available[product_id] += delta
                rule.serve()
            request_id = f"{next(numbers)}"
            return BookStock(
                product_id=product_id, request_id=request_id, delta=delta, reason="", order_id=None
            )
        case "ends", str() as order_id, _:
            rule.leave(order_id)
            rule.serve()
            return EndWait(order_id=order_id)
        case "fails", str() as order_id, _:
            rule.die(order_id)
            rule.serve()
            return failed(order_id)
    raise AssertionError(happening)


def check(connection: Connection, rule: Rule) -> None:
    available = connection.execute(text("SELECT product_id, available FROM products"))
    assert {row[0]: row[1] for row in available} == rule.available
    holds = connection.execute(text("SELECT order_id, state FROM holds"))
    states = {row[0]: HoldState(row[1]) for row in holds}
    waiting = {order_id for order_id, state in states.items() if state is HoldState.WAITING}
    assert waiting == {order_id for order_id, _ in rule.waiting}
    assert {each for each, state in states.items() if state is HoldState.HELD} == rule.held.keys()
    query = "SELECT product_id, order_id FROM places WHERE waiting ORDER BY ticket"
    line = [tuple(row) for row in connection.execute(text(query))]
    for product_id in PRODUCTS:
        assert [each for product, each in line if product == product_id] == [
            order_id for order_id, wanted in rule.waiting if product_id in wanted
        ]
