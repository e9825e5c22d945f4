"""Rankings of the products that sell best: summed from their sales, and kept in memory.

In a large shop the sums take longer than a client should wait. So a request that finds a stale
ranking is answered with it, and a fresh one is read in the background. A request waits only where
there is no ranking, or where it is too old.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import reduce
from operator import add
from time import monotonic

import msgspec
from sqlalchemy import Select, bindparam, func, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.components import Component
from chassis.single_flight import SingleFlight
from events.contract import ProductStatus
from product.sales import HOURS, window_start
from product.tables import HOUR_COLUMNS, products_table, sales_table
from product.unit_of_work import ProductUnitOfWork

log = logging.getLogger(__name__)

MAX_PRODUCTS = 100
"""The length of a ranking."""

FRESH_SECONDS = 1.0
MAX_AGE_SECONDS = 5.0


class Ranked(msgspec.Struct, frozen=True):
    product_id: str
    name: str
    price: int
    units: int


class Ranking(msgspec.Struct, frozen=True):
    """The products that sold best since a time, best first."""

    since: datetime
    products: tuple[Ranked, ...]


Read = Callable[[], Awaitable[Ranking]]


class Rankings(Component[ProductUnitOfWork]):
    """The rankings that were read, by the length of their window in days. One for each instance."""

    def __init__(self, clock_seconds: Callable[[], float] = monotonic) -> None:
        self._clock_seconds = clock_seconds
        self._kept: dict[int, tuple[float, Ranking]] = {}
        self._reads = SingleFlight[int, Ranking]()

    async def get(self, days: int, read: Read) -> Ranking:
        """A ranking not older than MAX_AGE_SECONDS. Requests share a `read` that is under way.

        Raises what `read` raises, if the request had to wait for it.
        """
        read_at, kept = self._kept.get(days, (0.0, None))
        age_seconds = self._clock_seconds() - read_at
        if kept is not None and age_seconds < FRESH_SECONDS:
            return kept
        reading = self._reads.start(days, lambda: self._read(days, read))
        if kept is not None and age_seconds < MAX_AGE_SECONDS:
            return kept
        return await asyncio.shield(reading)

    async def close(self) -> None:
        await self._reads.close()

    async def _read(self, days: int, read: Read) -> Ranking:
        began_at = self._clock_seconds()
        try:
            ranking = await read()
        except Exception as error:
            log.warning("a ranking can't be read", extra={"days": days, "error": repr(error)})
            raise
        self._kept[days] = (began_at, ranking)
        return ranking


async def best_sold(connection: AsyncConnection, now: datetime, days: int) -> Ranking:
    """The products for sale that sold best in the last so many days, at most MAX_PRODUCTS."""
    since = window_start(now, days)
    rows = await connection.execute(_best(since.hour), {"first_day": since.date()})
    products = (Ranked(each, name, price, int(units)) for each, name, price, units in rows)
    return Ranking(since, tuple(products))  # a sum is a decimal number to PostgreSQL


def _best(first_hour: int) -> Select[str, str, int, int]:
    """Of the first day the hours from this one on, of all later days their sums.

    Products with equal sales are in the order of their ids.
    """
    sales, products = sales_table.c, products_table.c
    first_day = bindparam("first_day", type_=sales.day.type)
    hours = reduce(add, (sales[HOUR_COLUMNS[hour]] for hour in HOURS[first_hour:]))
    sold = union_all(
        select(sales.product_id, sales.units).where(sales.day > first_day),
        select(sales.product_id, hours.label("units")).where(sales.day == first_day),
    ).subquery("sold")
    off = select(products.product_id).where(products.status == ProductStatus.DISCONTINUED)
    units = func.sum(sold.c.units)
    best = (
        select(sold.c.product_id, units.label("units"))
        .group_by(sold.c.product_id)
        .having(units > 0, sold.c.product_id.not_in(off))
        .order_by(units.desc(), sold.c.product_id)
        .limit(MAX_PRODUCTS)
        .subquery("best")
    )
    return (
        select(best.c.product_id, products.name, products.price, best.c.units)
        .join(products_table, products.product_id == best.c.product_id)
        .order_by(best.c.units.desc(), best.c.product_id)
    )
