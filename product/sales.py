"""What was sold, counted by the hour: the numbers behind the ranking. Pure.

An order counts in the hour in which it was completed, in UTC, whenever that is heard. A cancelled
one is taken off the same hour. So nothing depends on the order in which the two are heard; a count
may be below zero in between.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec

from events.contract import OrderCancelled, OrderCompleted

HOURS = range(24)

SalesRow = tuple[Any, ...]
"""What a product sold on a day: the day, the product's id, all units, and those of each hour."""


class Sale(msgspec.Struct, frozen=True, kw_only=True):
    """Units of a product, below zero where they are taken off. `hour` counts from 0."""

    product_id: str
    day: date
    hour: int
    units: int


def sold(event: OrderCompleted) -> Iterator[Sale]:
    """What an order adds to the sales."""
    return _lines(event, 1)


def taken_off(event: OrderCancelled) -> Iterator[Sale]:
    """The same again, with the sign turned."""
    return _lines(event, -1)


def _lines(event: OrderCompleted | OrderCancelled, sign: int) -> Iterator[Sale]:
    at = event.completed_at.astimezone(UTC)
    for line in event.items:
        units = sign * line.quantity
        yield Sale(product_id=line.product_id, day=at.date(), hour=at.hour, units=units)


def summed(sales: Iterable[Sale]) -> list[SalesRow]:
    """One row for each product and day, in the order in which such rows are locked."""
    sums: defaultdict[tuple[date, str], list[int]] = defaultdict(lambda: [0] * len(HOURS))
    for sale in sales:
        sums[sale.day, sale.product_id][sale.hour] += sale.units
    return [(*key, sum(hours), *hours) for key, hours in sorted(sums.items())]


def window_start(now: datetime, days: int) -> datetime:
    """When a window of so many days begins: on the hour, in UTC."""
    start = now.astimezone(UTC) - timedelta(days=days)
    return start.replace(minute=0, second=0, microsecond=0)
