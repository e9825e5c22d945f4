"""The ranking, on real databases, compared with counting by hand."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection

from chassis.storage import tables
from chassis.storage.database import Database
from events.contract import Line, ProductStatus
from product import store
from product.commands import ChangeProduct
from product.domain import Product
from product.ranking import MAX_PRODUCTS, Ranking, best_sold
from product.reactions import reactions
from product.sales import window_start
from product.tables import schema
from product.unit_of_work import ProductUnitOfWork
from saga.event import Event
from tests.kit.postgres import create_database, program, running_postgres
from tests.unit.payment_events import payment_completed, payment_refunded
from tests.unit.product_fixtures import coupon_used, product, unit_of_work

NOW = datetime(2030, 3, 1, 10, 20, 30, tzinfo=UTC)
IDS = [str(UUID(int=number)) for number in range(1, 131)]


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with running_postgres() as server:
        yield create_database(server, "ranking")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql" and program("initdb") is None:
        pytest.skip("PostgreSQL is not installed (make postgres)")
    sqlite = f"sqlite+aiosqlite:///{tmp_path}/product.db"
    return sqlite if request.param == "sqlite" else str(request.getfixturevalue("postgres"))


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = Database(url)
    await database.create(tables.metadata, schema)
    await database.run(empty)
    yield database
    await database.close()


def empty(connection: Connection) -> None:
    for table in schema.sorted_tables:
        connection.execute(table.delete())


def in_stock(product_id: str) -> Product:
    return product(product_id, 10**6)


async def put(database: Database, *products: Product) -> None:
    uow = unit_of_work()
    for each in products:
        uow.products[each.product_id] = each
    uow.release()
    await database.run(partial(save, uow))


def save(uow: ProductUnitOfWork, connection: Connection) -> None:
    store.save(connection, uow)


async def discontinue(database: Database, product_id: str) -> None:
    command = ChangeProduct(product_id=product_id, status=ProductStatus.DISCONTINUED)

    def work(connection: Connection) -> None:
        uow = store.load(connection, [command], NOW)
        reactions.execute(command, uow)
        uow.release()
        store.save(connection, uow)

    await database.run(work)


async def handle(database: Database, now: datetime, events: Sequence[Event]) -> None:
    """One batch, loaded and saved as the service does."""

    def work(connection: Connection) -> None:
        uow = store.load(connection, events, now)
        for event in events:
            reactions.react(event, uow)
            uow.release()
        store.save(connection, uow)

    await database.run(work)


async def sell(database: Database, now: datetime, *orders: tuple[Line, ...]) -> list[str]:
    """Hold the stock of these orders and sell it, in one batch. Returns their ids."""
    order_ids = [str(uuid4()) for _ in orders]
    held = [coupon_used(each, lines) for each, lines in zip(order_ids, orders, strict=True)]
    await handle(database, now, [*held, *map(payment_completed, order_ids)])
    return order_ids


async def refund(database: Database, now: datetime, *order_ids: str) -> None:
    await handle(database, now, [payment_refunded(each) for each in order_ids])


async def ranking(database: Database, days: int = 3, now: datetime = NOW) -> Ranking:
    async with database.reading() as connection:
        return await best_sold(connection, now, days)


async def units(database: Database, days: int = 3, now: datetime = NOW) -> list[tuple[str, int]]:
    return [(each.product_id, each.units) for each in (await ranking(database, days, now)).products]


def line(product_id: str, quantity: int) -> tuple[Line, ...]:
    return (Line(product_id=product_id, quantity=quantity, price=3),)


async def test_ranking_agrees_with_counting_by_hand(database: Database) -> None:
    """Orders at any time of 95 days, a third of them refunded at any time after."""
    chance = random.Random(7)
    ids = IDS[:12]
    await put(database, *map(in_stock, ids))
    kept: list[tuple[datetime, Line]] = []
    for _ in range(100):
        at = NOW - timedelta(days=95 * chance.random() ** 2)
        orders = [
            tuple(
                Line(product_id=each, quantity=chance.randint(1, 9), price=3)
                for each in chance.sample(ids, chance.randint(1, 3))
            )
            for _ in range(6)
        ]
        order_ids = await sell(database, at, *orders)
        kept += [(at, each) for lines in orders[:4] for each in lines]
        await refund(database, at + chance.random() * (NOW - at), *order_ids[4:])
    await discontinue(database, ids[-1])

    for days in (1, 2, 3, 30, 90):
        for now in (NOW, NOW.replace(hour=0, minute=0), NOW.replace(hour=23, minute=59)):
            since = window_start(now, days)
            counts = Counter[str]()
            for at, line in kept:
                if at >= since and line.product_id != ids[-1]:
                    counts[line.product_id] += line.quantity
            by_hand = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
            assert await units(database, days, now) == by_hand
            assert (await ranking(database, days, now)).since == since


async def test_two_instances_add_to_the_same_rows(database: Database, url: str) -> None:
    """New rows too, in different orders: no transaction waits for ever."""
    await put(database, *map(in_stock, IDS[:30]))
    twin, chance = Database(url), random.Random(5)

    async def sell_all(instance: Database) -> None:
        for hour in range(8):
            orders = [line(each, 1) for each in IDS[:30]]
            chance.shuffle(orders)
            for start in range(0, 30, 10):
                await sell(instance, NOW - timedelta(hours=hour), *orders[start : start + 10])

    await asyncio.gather(sell_all(database), sell_all(twin))
    await twin.close()
    assert await units(database) == [(each, 16) for each in IDS[:30]]


async def test_refund_by_another_instance_takes_sale_off_its_hour(
    database: Database, url: str
) -> None:
    """The hour is read back from the hold's row."""
    await put(database, in_stock(IDS[0]))
    sold_at = NOW - timedelta(days=2, hours=5)
    order_id, _ = await sell(database, sold_at, line(IDS[0], 2), line(IDS[0], 3))
    twin = Database(url)
    await refund(twin, NOW, order_id)
    await twin.close()
    assert await units(database, days=3) == [(IDS[0], 3)]
    assert await units(database, days=1) == []


async def test_edge_of_the_window(database: Database) -> None:
    """The hour in which it begins counts as a whole, the one before it not at all."""
    await put(database, *map(in_stock, IDS[:2]))
    since = window_start(NOW, 3)
    await sell(database, since, line(IDS[0], 1))
    await sell(database, since - timedelta(microseconds=1), line(IDS[1], 5))
    assert await units(database) == [(IDS[0], 1)]
    assert await units(database, now=NOW - timedelta(hours=1)) == [(IDS[1], 5), (IDS[0], 1)]
    assert await units(database, now=NOW + timedelta(minutes=39, seconds=29)) == [(IDS[0], 1)]
    assert await units(database, now=NOW + timedelta(hours=1)) == []


async def test_ranking_leaves_out_discontinued_and_unsold_products(database: Database) -> None:
    a, b, c, d, e = IDS[:5]
    await put(database, *map(in_stock, (e, c, a, b, d)))
    orders = [line(*each) for each in ((e, 4), (c, 4), (a, 4), (b, 9), (d, 50))]
    _, _, of_a, of_b, _ = await sell(database, NOW, *orders)
    await discontinue(database, d)
    assert await units(database) == [(b, 9), (a, 4), (c, 4), (e, 4)]
    await refund(database, NOW, of_a, of_b)
    assert await units(database) == [(c, 4), (e, 4)]
    await sell(database, NOW, line(a, 4))
    assert await units(database) == [(a, 4), (c, 4), (e, 4)]


async def test_longest_ranking(database: Database) -> None:
    await put(database, *map(in_stock, IDS))
    counts = {each: 1 + number % 10 for number, each in enumerate(IDS)}
    await sell(database, NOW, *(line(each, count) for each, count in counts.items()))
    by_hand = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    assert await units(database) == by_hand[:MAX_PRODUCTS]
