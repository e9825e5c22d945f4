"""Products are found by a part of their name, on both databases alike."""

from collections.abc import AsyncIterator
from unicodedata import normalize

import pytest
from sqlalchemy import Connection, text

from chassis.storage import tables
from chassis.storage.database import Database
from events.contract import ProductStatus
from product import store
from product.app import participant
from product.commands import ChangeProduct, CreateProduct
from product.reactions import reactions
from tests.unit.handling import handle
from tests.unit.product_fixtures import NOW

FOLDED = {
    "아메리카노": ("아메리카노", normalize("NFD", "아메리카노"), normalize("NFD", "카노")),
    normalize("NFD", "카페 라떼"): ("카페 라떼", "라떼", normalize("NFD", "라떼")),
    "CAFÉ Crème": ("café", normalize("NFD", "CAFÉ"), "CRÈME"),
    normalize("NFD", "Ångström"): ("ångström", "ÅNGSTRÖM"),
    "Große Straße": ("grosse", "STRASSE", "große"),
    "ΟΔΟΣ": ("οδος", "οδοσ"),
}
"""Names of products, and texts that find each."""

NO_PART = ("아메맄", "cafe", "카노아")
"""Texts that find none: part of a syllable, another letter, another order."""


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = Database(url)
    await database.create(tables.metadata, participant.schema, history=participant.history)
    yield database
    await database.close()


async def execute(database: Database, *commands: object) -> None:
    """As a batch does."""

    def run(connection: Connection) -> None:
        uow = store.load(connection, commands, NOW)
        for each in commands:
            handle(reactions, each, uow)
        store.save(connection, uow)

    await database.run(run)


async def find(database: Database, name_part: str) -> list[str]:
    async with database.reading() as connection:
        found, total = await store.search(
            connection,
            text=name_part,
            category=None,
            status=ProductStatus.ACTIVE,
            offset=0,
            size=100,
        )
    assert total == len(found)
    return [each.name for each in found]


async def test_name_is_found_in_any_case_and_normal_form(database: Database) -> None:
    created = [CreateProduct(product_id=name, name=name, price=1, stock=0) for name in FOLDED]
    await execute(database, *created)
    for name, texts in FOLDED.items():
        for each in texts:
            assert await find(database, each) == [name], each
    for each in NO_PART:
        assert await find(database, each) == [], each


async def test_new_name_replaces_the_old_one(database: Database) -> None:
    await execute(database, CreateProduct(product_id="p", name="Crème", price=1, stock=0))
    await execute(database, ChangeProduct(product_id="p", name="ÉCLAIR"))
    assert await find(database, "crème") == []
    assert await find(database, "éclair") == ["ÉCLAIR"]


async def test_row_of_an_older_version_is_found_as_it_is_written(database: Database) -> None:
    """During a rolling upgrade an older instance inserts rows without the new column."""
    await execute(database, CreateProduct(product_id="p", name="pie", price=1, stock=0))
    await database.run(lambda each: each.execute(text("UPDATE products SET search_name = NULL")))
    assert await find(database, "pi") == ["pie"]
