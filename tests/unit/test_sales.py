"""Sales by the hour: counted when an order is paid, taken off again when it is refunded."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from product.domain import HoldState
from product.reactions import reactions
from product.sales import HOURS, Sale, sum_by_day, window_start
from product.unit_of_work import ProductUnitOfWork
from saga.event import Event
from tests.unit.handling import handle
from tests.unit.payment_events import payment_completed, payment_failed, payment_refunded
from tests.unit.product_fixtures import LINES, coupon_used, product, unit_of_work

LAST_OF_DAY = datetime(2030, 1, 31, 23, 59, 59, 999999, UTC)
SOLD_ON = date(2030, 1, 31)
HELD = coupon_used()
PAID = payment_completed()
REFUNDED = payment_refunded()

Counts = dict[tuple[date, str, int], int]
"""Units by day, product and hour, without those that are 0."""


def after(*steps: tuple[Event, datetime]) -> ProductUnitOfWork:
    """The rows after these events, each handled at its time."""
    uow = unit_of_work(product("a", 10**6), product("b", 10**6))
    for event, now in steps:
        uow.now = now
        handle(reactions, event, uow)
    return uow


def counts(uow: ProductUnitOfWork) -> Counts:
    found: Counts = {}
    for day, product_id, units, *hours in sum_by_day(uow.sales):
        assert sum(hours) == units
        found |= {(day, product_id, hour): hours[hour] for hour in HOURS if hours[hour]}
    return found


def test_sale_counts_in_the_hour_of_the_payment() -> None:
    held = (HELD, LAST_OF_DAY - timedelta(hours=2))
    assert counts(after(held, (PAID, LAST_OF_DAY))) == {
        (SOLD_ON, "a", 23): 2,
        (SOLD_ON, "b", 23): 1,
    }
    next_hour = LAST_OF_DAY + timedelta(microseconds=1)
    assert counts(after(held, (PAID, next_hour))) == {
        (date(2030, 2, 1), "a", 0): 2,
        (date(2030, 2, 1), "b", 0): 1,
    }


def test_hours_of_sales_are_those_of_utc() -> None:
    seoul = LAST_OF_DAY.astimezone(timezone(timedelta(hours=9)))
    assert counts(after((HELD, seoul), (PAID, seoul))) == counts(
        after((HELD, LAST_OF_DAY), (PAID, LAST_OF_DAY))
    )


@pytest.mark.parametrize("later", [timedelta(0), timedelta(hours=1), timedelta(days=40)])
def test_refund_takes_sale_off_the_hour_in_which_it_was_counted(later: timedelta) -> None:
    uow = after((HELD, LAST_OF_DAY), (PAID, LAST_OF_DAY), (REFUNDED, LAST_OF_DAY + later))
    assert counts(uow) == {}
    assert {row[0] for row in sum_by_day(uow.sales)} == {SOLD_ON}


def test_repeated_events_count_once() -> None:
    """Also without the inbox: the state of the hold decides."""
    hour = timedelta(hours=1)
    twice = after((HELD, LAST_OF_DAY), (PAID, LAST_OF_DAY), (PAID, LAST_OF_DAY + hour))
    assert counts(twice) == {(SOLD_ON, "a", 23): 2, (SOLD_ON, "b", 23): 1}
    for time in (LAST_OF_DAY, LAST_OF_DAY + hour):
        twice.now = time + hour
        handle(reactions, REFUNDED, twice)
    assert counts(twice) == {}


@pytest.mark.parametrize("undoing", [payment_failed(), REFUNDED], ids=["failed", "refunded"])
def test_order_undone_before_its_payment_arrives_is_never_counted(undoing: Event) -> None:
    steps = [(event, LAST_OF_DAY) for event in (HELD, undoing, PAID)]
    assert list(after(*steps).sales) == []
    assert list(after(steps[1], steps[0], steps[2]).sales) == []


def test_held_stock_is_not_counted() -> None:
    assert list(after((HELD, LAST_OF_DAY)).sales) == []


def test_sale_of_rolled_back_message_is_not_counted() -> None:
    uow = after((HELD, LAST_OF_DAY))
    reactions.react(PAID, uow)
    uow.roll_back()
    assert sum_by_day(uow.sales) == []


ORDERS = ("o1", "o2", "o3")
events = st.sampled_from(ORDERS).flatmap(
    lambda order_id: st.sampled_from(
        [
            coupon_used(order_id),
            payment_completed(order_id),
            payment_failed(order_id),
            payment_refunded(order_id),
        ]
    )
)
pauses = st.sampled_from([timedelta(0), timedelta(minutes=20), timedelta(hours=5)])


@settings(deadline=None)
@given(st.lists(st.tuples(events, pauses), max_size=20))
def test_sales_are_those_of_sold_holds_after_any_events(
    steps: list[tuple[Event, timedelta]],
) -> None:
    now = LAST_OF_DAY
    timed = []
    for event, pause in steps:
        now += pause
        timed.append((event, now))
    uow = after(*timed)
    sold = [
        hold
        for order_id in ORDERS
        if (hold := uow.holds.get(order_id)) and hold.state is HoldState.SOLD
    ]
    expected = Counter[tuple[date, str, int]]()
    for hold in sold:
        for line in LINES:
            at = hold.updated_at
            expected[at.date(), line.product_id, at.hour] += line.quantity
    assert counts(uow) == dict(expected)


@given(
    st.lists(
        st.builds(
            Sale,
            product_id=st.sampled_from("ab"),
            day=st.dates(date(2030, 1, 1), date(2030, 1, 4)),
            hour=st.sampled_from(HOURS),
            units=st.integers(-9, 9),
        )
    )
)
def test_rows_are_summed_and_sorted(sales: list[Sale]) -> None:
    rows = sum_by_day(sales)
    assert [row[:2] for row in rows] == sorted({(sale.day, sale.product_id) for sale in sales})
    for day, product_id, units, *hours in rows:
        of_row = [sale for sale in sales if (sale.day, sale.product_id) == (day, product_id)]
        assert units == sum(sale.units for sale in of_row)
        for hour in HOURS:
            assert hours[hour] == sum(sale.units for sale in of_row if sale.hour == hour)


@pytest.mark.parametrize(
    ("now", "days", "start"),
    [
        ("2030-03-01T00:00:00+00:00", 1, "2030-02-28T00:00:00+00:00"),
        ("2030-03-01T00:59:59.999999+00:00", 1, "2030-02-28T00:00:00+00:00"),
        ("2030-03-01T01:00:00+00:00", 3, "2030-02-26T01:00:00+00:00"),
        ("2030-03-01T01:30:00+09:00", 1, "2030-02-27T16:00:00+00:00"),
    ],
)
def test_window_begins_on_the_hour(now: str, days: int, start: str) -> None:
    assert window_start(datetime.fromisoformat(now), days) == datetime.fromisoformat(start)
