"""Units sold, counted by the hour: the numbers behind the rankings. Pure.

An order counts in the hour, in UTC, in which its hold became SOLD. A refund takes it off the same
hour again: `updated_at` of a SOLD hold is the time of its sale. So the counts are always those of
the SOLD holds.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec

from product.domain import Hold

HOURS = range(24)

SalesRow = tuple[Any, ...]
"""A product's sales of a day: the day, the product's id, all units, and the units of each hour."""


class Sale(msgspec.Struct, frozen=True, kw_only=True):
    """Units of a product, negative where they are taken off. `hour` counts from 0."""

    product_id: str
    day: date
    hour: int
    units: int

    def __neg__(self) -> "Sale":
        return msgspec.structs.replace(self, units=-self.units)


def sales_of(sold: Hold) -> Iterator[Sale]:
    """The sales of a SOLD hold, one for each line."""
    at = sold.updated_at.astimezone(UTC)
    for line in sold.items:
        yield Sale(product_id=line.product_id, day=at.date(), hour=at.hour, units=line.quantity)


def sum_by_day(sales: Iterable[Sale]) -> list[SalesRow]:
    """One row for each product and day, in the order in which such rows are locked."""
    sums: defaultdict[tuple[date, str], list[int]] = defaultdict(lambda: [0] * len(HOURS))
    for sale in sales:
        sums[sale.day, sale.product_id][sale.hour] += sale.units
    return [(*key, sum(hours), *hours) for key, hours in sorted(sums.items())]


def window_start(now: datetime, days: int) -> datetime:
    """The beginning of a window of so many days: on the hour, in UTC."""
    start = now.astimezone(UTC) - timedelta(days=days)
    return start.replace(minute=0, second=0, microsecond=0)
