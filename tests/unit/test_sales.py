"""Sales by the hour: what an order adds, in whatever order things are heard, and the window."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.contract import Line, OrderCancelled, OrderCompleted
from product.reactions import reactions
from product.sales import HOURS, summed, window_start
from product.unit_of_work import ProductUnitOfWork
from tests.unit.handling import handle
from tests.unit.product_rows import cancelled, completed, unit_of_work

AT = datetime(2030, 1, 31, 23, 59, 59, 999999, UTC)
DAYS = st.datetimes(
    datetime.fromisoformat("2030-01-01"),
    datetime.fromisoformat("2030-01-04"),
    timezones=st.just(UTC),
)


def counted(*events: OrderCompleted | OrderCancelled) -> dict[tuple[object, ...], int]:
    """Units by day, product and hour, those alone that are not 0."""
    uow = unit_of_work()
    for event in events:
        assert handle(reactions, event, uow) == ()
    return units_of(uow)


def units_of(uow: ProductUnitOfWork) -> dict[tuple[object, ...], int]:
    found: dict[tuple[object, ...], int] = {}
    for day, product, units, *hours in summed(uow.sales):
        assert sum(hours) == units
        found |= {(day, product, hour): hours[hour] for hour in HOURS if hours[hour]}
    return found


def test_an_order_counts_in_the_hour_of_its_completion() -> None:
    day = date(2030, 1, 31)
    assert counted(completed(AT)) == {(day, "a", 23): 2, (day, "b", 23): 1}
    next_hour = completed(AT + timedelta(microseconds=1))
    assert counted(next_hour) == {
        (date(2030, 2, 1), each, 0): n for each, n in (("a", 2), ("b", 1))
    }


def test_hours_are_those_of_utc() -> None:
    seoul = AT.astimezone(timezone(timedelta(hours=9)))
    assert counted(completed(seoul)) == counted(completed(AT))
    assert counted(completed(seoul), cancelled(AT)) == {}


def test_a_cancel_takes_off_what_was_counted_in_whatever_order_they_are_heard() -> None:
    assert counted(completed(AT), cancelled(AT)) == counted(cancelled(AT), completed(AT)) == {}
    early = counted(cancelled(AT))
    assert set(early.values()) == {-2, -1}


def test_sales_say_nothing_and_touch_no_stock() -> None:
    uow = unit_of_work()
    handle(reactions, completed(AT), uow)
    assert not [*uow.holds.changed_keys, *uow.products.changed_keys, *uow.ledger]


def test_a_message_that_fails_leaves_no_sale() -> None:
    uow = unit_of_work()
    reactions.react(completed(AT), uow)
    uow.roll_back()
    assert summed(uow.sales) == []


@given(
    st.lists(
        st.builds(
            completed,
            DAYS,
            st.tuples(
                st.builds(
                    Line,
                    product_id=st.sampled_from("ab"),
                    quantity=st.integers(1, 9),
                    price=st.just(3),
                )
            ),
        )
    )
)
def test_rows_are_summed_and_sorted(events: list[OrderCompleted]) -> None:
    uow = unit_of_work()
    for event in events:
        handle(reactions, event, uow)
    rows = summed(uow.sales)
    assert [row[:2] for row in rows] == sorted({row[:2] for row in rows})
    by_hand: dict[tuple[object, ...], int] = {}
    for event in events:
        for line in event.items:
            key = (event.completed_at.date(), line.product_id, event.completed_at.hour)
            by_hand[key] = by_hand.get(key, 0) + line.quantity
    assert units_of(uow) == by_hand


@pytest.mark.parametrize(
    ("now", "days", "start"),
    [
        ("2030-03-01T00:00:00+00:00", 1, "2030-02-28T00:00:00+00:00"),
        ("2030-03-01T00:59:59.999999+00:00", 1, "2030-02-28T00:00:00+00:00"),
        ("2030-03-01T01:00:00+00:00", 3, "2030-02-26T01:00:00+00:00"),
        ("2030-03-01T01:30:00+09:00", 1, "2030-02-27T16:00:00+00:00"),
    ],
)
def test_the_window_begins_on_the_hour(now: str, days: int, start: str) -> None:
    assert window_start(datetime.fromisoformat(now), days) == datetime.fromisoformat(start)
