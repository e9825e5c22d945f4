"""Queues for stock in batches, which load no more places than they need."""

from itertools import count
from uuid import UUID

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine, text

from events.contract import OnShortage
from product import store, tables
from product.commands import BookStock, CreateProduct, EndWait
from product.domain import HoldState
from product.reactions import reactions
from tests.unit.handling import handle
from tests.unit.payment_events import payment_failed
from tests.unit.product_fixtures import LATER, coupon_used
from tests.unit.test_waitlist import Rule, lines

WAIT, REJECT = OnShortage.WAIT, OnShortage.REJECT
CUSTOMER = str(UUID(int=99))
PRODUCTS = tuple(str(UUID(int=number)) for number in (101, 102, 103))
QUANTITIES = st.dictionaries(st.sampled_from(PRODUCTS), st.integers(1, 3), min_size=1)
ORDERS = st.integers(0, 9).map(lambda number: str(UUID(int=number)))
STEPS = st.one_of(
    st.tuples(st.just("place"), QUANTITIES, st.sampled_from([WAIT, WAIT, REJECT])),
    st.tuples(st.just("book"), st.sampled_from(PRODUCTS), st.sampled_from([-2, -1, 1, 2, 5])),
    st.tuples(st.sampled_from(["end wait", "fail"]), ORDERS, st.none()),
)
Step = tuple[str, object, object]


@settings(deadline=None, max_examples=300)
@given(st.lists(st.lists(STEPS, min_size=1, max_size=5), max_size=12))
def test_batches_serve_the_orders_that_the_rule_serves(batches: list[list[Step]]) -> None:
    engine = create_engine("sqlite://")
    tables.schema.create_all(engine)
    rule = Rule(dict.fromkeys(PRODUCTS, 2))
    numbers = count()
    placed = count()
    with engine.begin() as connection:
        work(connection, [CreateProduct(product_id=e, name=e, price=1, stock=2) for e in PRODUCTS])
        for batch in batches:
            messages = [message(step, rule, placed, numbers) for step in batch]
            work(connection, messages)
            check(connection, rule)
    engine.dispose()


def work(connection: Connection, messages: list[object]) -> None:
    """As a batch does: load the rows, handle the messages, save."""
    uow = store.load(connection, messages, LATER)
    for each in messages:
        handle(reactions, each, uow)
    store.save(connection, uow)


def message(step: Step, rule: Rule, placed: "count[int]", numbers: "count[int]") -> object:
    """The message of a step, which the rule takes too."""
    match step:
        case "place", dict() as wanted, OnShortage() as on_shortage:
            order_id = str(UUID(int=next(placed)))
            rule.place(order_id, wanted, on_shortage)
            event = coupon_used(order_id, lines(**wanted), on_shortage)
            return msgspec.structs.replace(event, customer_id=CUSTOMER)
        case "book", str() as product_id, int() as delta:
            if rule.available[product_id] + delta >= 0:
                rule.available[product_id] += delta
                rule.serve()
            request_id = f"{next(numbers)}"
            return BookStock(
                product_id=product_id, request_id=request_id, delta=delta, reason="", order_id=None
            )
        case "end wait", str() as order_id, _:
            rule.leave(order_id)
            rule.serve()
            return EndWait(order_id=order_id)
        case "fail", str() as order_id, _:
            rule.fail(order_id)
            rule.serve()
            return payment_failed(order_id)
    raise AssertionError(step)


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
