"""The duration of the sum for the ranking of popular products, with a million sales in the table.

python -m bench.ranking
"""

import asyncio
import random
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from uuid import UUID

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from events.contract import ProductStatus
from product import tables
from product.domain import Product
from product.ranking import best_sold

NOW = datetime(2026, 1, 31, 12, 30, tzinfo=UTC)
PRODUCTS = 10_000
SALES = 1_000_000
DAYS = 90
ROUNDS = 15


def main() -> None:
    with TemporaryDirectory() as folder:
        asyncio.run(_measure(Path(folder) / "sales.db"))


async def _measure(file: Path) -> None:
    engine = create_async_engine(f"sqlite+aiosqlite:///{file}")
    async with engine.begin() as connection:
        await connection.run_sync(tables.schema.create_all)
        rows = await _fill(connection)
    async with engine.connect() as connection:
        print(f"{SALES:,} sales of {PRODUCTS:,} products in {DAYS} days, {rows:,} rows")
        for days in (3, DAYS):
            times = [await _once(connection, days) for _ in range(ROUNDS)]
            print(f"{days:3} days: {median(times):.1f} ms, at most {max(times):.1f} ms")
    await engine.dispose()


async def _fill(connection: AsyncConnection) -> int:
    """Few products are liked by many, as products are. Returns the number of rows."""
    chance = random.Random(1)
    liked = [1 / (place + 1) for place in range(PRODUCTS)]
    by_day: dict[tuple[date, int], Counter[int]] = defaultdict(Counter)
    for number in chance.choices(range(PRODUCTS), liked, k=SALES):
        sold_at = NOW - timedelta(hours=chance.randrange(DAYS * 24))
        by_day[sold_at.date(), number][sold_at.hour] += 1
    rows = [
        {"day": day, "product_id": _id(number), "units": units.total()}
        | {name: units[hour] for hour, name in enumerate(tables.HOUR_COLUMNS)}
        for (day, number), units in by_day.items()
    ]
    await connection.execute(insert(tables.sales_table), rows)
    await connection.run_sync(
        lambda each: tables.products.append(each, map(_product, range(PRODUCTS)))
    )
    return len(rows)


async def _once(connection: AsyncConnection, days: int) -> float:
    """In milliseconds."""
    began = perf_counter()
    await best_sold(connection, NOW, days)
    return (perf_counter() - began) * 1000


def _id(number: int) -> str:
    return str(UUID(int=number))


def _product(number: int) -> Product:
    return Product(
        product_id=_id(number),
        version=1,
        name=f"product {number}",
        price=1,
        description="",
        category="",
        status=ProductStatus.ACTIVE,
        available=1,
        reserved=0,
        sold_out=False,
        created_at=NOW,
        updated_at=NOW,
    )


if __name__ == "__main__":
    main()
