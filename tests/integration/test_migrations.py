"""A service opens its own database alone, and upgrades one of an earlier version, once."""

import asyncio
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from importlib import import_module
from itertools import starmap
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    Column,
    Connection,
    Integer,
    MetaData,
    Table,
    insert,
    inspect,
    select,
    text,
)
from sqlalchemy.exc import IntegrityError

from chassis.participant import Participant
from chassis.storage import tables
from chassis.storage.database import Database
from chassis.storage.migrations import SchemaHistory, Upgrade
from events.participants import PARTICIPANTS
from order import store as order_store
from saga.errors import ConfigurationError
from tests.integration import version_1, version_2

NEGATIVE = {
    "payment": (
        "UPDATE wallets SET balance = -1",
        "UPDATE wallet_ledger SET balance_after = -1",
    ),
    "product": (
        "UPDATE products SET available = -1",
        "UPDATE stock_ledger SET balance_after = -1",
    ),
}
"""Updates that version 1 refuses."""


def participant_of(service: str) -> Participant[Any]:
    found: Participant[Any] = import_module(f"{service}.app").participant
    return found


async def open_as(service: str, database: Database) -> None:
    """As the service does at its start."""
    participant = participant_of(service)
    await database.create(tables.metadata, participant.schema, history=participant.history)


async def create_version_1(url: str, service: str) -> None:
    database = Database(url)
    await database.run(lambda connection: version_1.create(connection, service))
    await database.run(tables.metadata.create_all)
    await database.run(participant_of(service).schema.create_all)
    await database.close()


def definitions(connection: Connection, service: str) -> dict[str, tuple[Any, ...]]:
    """The columns, keys and indexes of a service's tables."""
    inspector = inspect(connection)
    return {
        table.name: (
            [(each["name"], str(each["type"])) for each in inspector.get_columns(table.name)],
            sorted((each["name"], each["unique"]) for each in inspector.get_indexes(table.name)),
            inspector.get_unique_constraints(table.name),
            inspector.get_pk_constraint(table.name)["constrained_columns"],
        )
        for table in participant_of(service).schema.sorted_tables
    }


def content(connection: Connection, service: str) -> dict[str, list[dict[str, Any]]]:
    """The rows of a service's tables, with the columns that are there.

    Without the categories, which an upgrade fills.
    """
    there = MetaData()
    there.reflect(
        connection, only=[each.name for each in participant_of(service).schema.sorted_tables]
    )
    return {
        table.name: [dict(row) for row in connection.execute(select(table)).mappings()]
        for table in there.sorted_tables
        if table.name != "categories"
    }


def is_within(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether a row has these values, and perhaps new columns."""
    return old.items() <= new.items()


def drop_all(connection: Connection) -> None:
    there = MetaData()
    there.reflect(connection)
    there.drop_all(connection)


async def execute(database: Database, sql: str) -> None:
    await database.run(lambda connection: connection.execute(text(sql)))


@pytest.mark.parametrize("service", NEGATIVE)
async def test_version_1_is_upgraded_with_its_rows_and_takes_negative_values(
    url: str, service: str
) -> None:
    await create_version_1(url, service)
    database = Database(url)
    before = await database.run(lambda c: content(c, service))
    for statement in NEGATIVE[service]:
        with pytest.raises(IntegrityError):
            await execute(database, statement)

    await open_as(service, database)

    after, defined = await database.run(lambda c: (content(c, service), definitions(c, service)))
    for name, rows in before.items():
        assert all(starmap(is_within, zip(rows, after[name], strict=True))), name
    if service == "product":
        assert [row["search_name"] for row in after["products"]] == ["pie", "pea", "tea"]
        assert [bool(row["sold_out"]) for row in after["products"]] == [False, True, True]
    for statement in NEGATIVE[service]:
        await execute(database, statement)
    history = participant_of(service).history
    assert await database.run(history.find_version) == history.version
    await open_as(service, database)  # a second start finds nothing to do
    await database.run(drop_all)
    await open_as(service, database)
    assert await database.run(lambda c: definitions(c, service)) == defined, "as a new database's"
    await database.close()


async def opened_version_1(url: str, service: str) -> Database:
    """A database of version 1 that the service has opened, as it would be as a new one."""
    await create_version_1(url, service)
    database = Database(url)
    for _ in range(2):
        await open_as(service, database)
    return database


async def rows(database: Database, query: str) -> list[Any]:
    return await database.run(lambda c: [tuple(row) for row in c.execute(text(query))])


async def test_orders_of_version_1_tell_their_stage_and_take_new_reasons(url: str) -> None:
    database = await opened_version_1(url, "order")
    upgraded = await database.run(lambda c: definitions(c, "order"))
    reading = Database(url)
    async with reading.reading() as connection:
        found, total = await order_store.list_orders(
            connection, customer_id="c", states=None, offset=0, size=9
        )
    await reading.close()
    assert total == 3
    stages = {each.order_id: each.known_stage for each in found}
    assert stages == {"paid": "PAID", "short": "COUPON_USED", "open": None}
    await execute(database, "UPDATE orders SET fail_reason = 'COUPON_REVOKED'")
    with pytest.raises(IntegrityError):
        await execute(database, "UPDATE orders SET state = 'NONE'")
    await execute(database, _AS_VERSION_1_INSERTS)
    await database.run(drop_all)
    await open_as("order", database)
    assert await database.run(lambda c: definitions(c, "order")) == upgraded
    await database.close()


_AS_VERSION_1_INSERTS = """
    INSERT INTO orders (order_id, customer_id, state, items, total_amount, discount_amount,
        payable_amount, payment_method, attempt, created_at, updated_at, from_cart)
    VALUES ('n', 'c', 'PENDING', '[]', 5, 0, 5, 'WALLET', 0, '2026-11-03', '2026-11-03', FALSE)
"""
"""An instance of version 1 beside the new one."""


async def test_addresses_of_version_1_are_in_a_table_of_their_own(url: str) -> None:
    await create_version_1(url, "order")
    database = Database(url)
    street = "1 Nat's Rd"
    address = json.dumps({"street": street, "postalCode": "00017", "city": "부산"})
    await database.run(
        lambda connection: connection.execute(
            text("UPDATE orders SET address = :address WHERE order_id <> 'short'"),
            {"address": address},
        )
    )
    for _ in range(2):
        await open_as("order", database)
    found = await rows(
        database,
        "SELECT order_id, customer_id, street, postal_code, city FROM shipping_addresses"
        " ORDER BY order_id",
    )
    assert found == [(each, "c", street, "00017", "부산") for each in ("open", "paid")]
    assert await rows(database, "SELECT customer_id, erased_at FROM recipients") == [("c", None)]
    assert await rows(database, "SELECT order_id FROM orders WHERE address IS NOT NULL") == []
    # An instance of the version before still writes it there.
    await execute(database, _AS_VERSION_1_INSERTS)
    await database.run(
        lambda connection: connection.execute(
            text("UPDATE orders SET address = :address WHERE order_id = 'n'"), {"address": address}
        )
    )
    reading = Database(url)
    async with reading.reading() as connection:
        shown = await order_store.find_addresses(connection, ["n", "open", "paid", "short"])
    await reading.close()
    assert {order_id: each.street for order_id, each in shown.items()} == dict.fromkeys(
        ("n", "open", "paid"), street
    )
    await database.close()


async def test_users_of_the_version_before_can_be_erased(url: str) -> None:
    """Its check of the states knows ACTIVE alone."""
    time = "DATETIME" if url.startswith("sqlite") else "TIMESTAMP WITH TIME ZONE"
    database = Database(url)
    await database.run(tables.metadata.create_all)
    await database.run(participant_of("user").schema.create_all)
    await database.run(drop_users)
    for statement in _USERS_OF_THE_VERSION_BEFORE:
        await execute(database, statement.format(time=time))
    erase = "UPDATE users SET state = 'ERASING'"
    with pytest.raises(IntegrityError):
        await execute(database, erase)
    await open_as("user", database)
    await execute(database, erase)
    upgraded = await database.run(lambda c: definitions(c, "user"))
    await database.run(drop_all)
    await open_as("user", database)
    assert await database.run(lambda c: definitions(c, "user")) == upgraded, "as a new database's"
    await database.close()


def drop_users(connection: Connection) -> None:
    participant_of("user").saga_rows.drop(connection)


_USERS_OF_THE_VERSION_BEFORE = (
    """
    CREATE TABLE users (
        user_id VARCHAR(36) NOT NULL,
        email VARCHAR(254) NOT NULL,
        name VARCHAR(200) NOT NULL,
        password_hash TEXT NOT NULL,
        roles VARCHAR(100) NOT NULL,
        state VARCHAR(32) NOT NULL,
        created_at {time} NOT NULL,
        updated_at {time} NOT NULL,
        PRIMARY KEY (user_id),
        UNIQUE (email),
        CONSTRAINT userstate CHECK (state IN ('ACTIVE'))
    )
    """,
    """
    INSERT INTO users
    VALUES ('u', 'e', 'n', 'h', 'customer', 'ACTIVE', '2026-11-01', '2026-11-01')
    """,
)


async def test_coupons_of_version_1_are_active_and_not_revoked(url: str) -> None:
    database = await opened_version_1(url, "coupon")
    upgraded = await database.run(lambda c: definitions(c, "coupon"))
    assert await rows(database, "SELECT coupon_id, status FROM coupons") == [("d", "ACTIVE")]
    assert await rows(database, "SELECT revoked_at FROM issued_coupons") == [(None,)]
    await database.run(drop_all)
    await open_as("coupon", database)
    assert await database.run(lambda c: definitions(c, "coupon")) == upgraded
    await database.close()


async def test_categories_of_version_1_are_those_that_products_name(url: str) -> None:
    database = await opened_version_1(url, "product")
    assert await rows(database, "SELECT name FROM categories") == [("meals",)]
    await database.close()


@pytest.mark.parametrize("service", PARTICIPANTS)
async def test_dead_letters_of_version_2_get_their_states(url: str, service: str) -> None:
    """One that was redriven is done where its event was handled."""
    database = Database(url)
    await database.run(version_2.create_dead_letters)
    await database.run(tables.metadata.create_all)
    await database.run(participant_of(service).schema.create_all)
    handled = {"event_id": version_2.HANDLED, "name": "OrderCreated", "key": version_2.HANDLED}
    row = insert(tables.inbox).values(**handled, received_at=datetime.now(UTC))
    await database.run(lambda connection: connection.execute(row))

    await open_as(service, database)

    letter = tables.dead_letters.c
    query = select(letter.subject, letter.state, letter.attempts).order_by(letter.id)
    found = await database.run(lambda connection: connection.execute(query).all())
    assert [tuple(row) for row in found] == [
        ("open", "OPEN", 0),
        ("handled", "REDRIVEN", 1),
        ("failed", "FAILED_AGAIN", 1),
    ]
    upgraded = await database.run(_definition_of_dead_letters)
    # An instance of the version before still stores letters.
    await execute(database, version_2.insertion("late"))
    await open_as(service, database)  # a second start finds nothing to do
    assert [tuple(row)[1] for row in await database.run(lambda c: c.execute(query).all())] == [
        *("OPEN", "REDRIVEN", "FAILED_AGAIN", "OPEN")
    ]
    await database.run(drop_all)
    await open_as(service, database)
    assert await database.run(_definition_of_dead_letters) == upgraded, "as a new database's"
    await database.close()


def _definition_of_dead_letters(connection: Connection) -> tuple[Any, ...]:
    found = inspect(connection)
    columns = found.get_columns("dead_letters")
    return (
        [(each["name"], str(each["type"]), each["nullable"]) for each in columns],
        sorted(each["name"] or "" for each in found.get_indexes("dead_letters")),
    )


async def test_other_checks_stay(url: str) -> None:
    await create_version_1(url, "product")
    database = Database(url)
    await open_as("product", database)
    for statement in ("UPDATE products SET reserved = -1", "UPDATE products SET waiting = -1"):
        with pytest.raises(IntegrityError):
            await execute(database, statement)
    await database.close()


async def test_two_instances_upgrade_at_once(url: str) -> None:
    """It passes when neither raises and all is there once."""
    await create_version_1(url, "payment")
    instances = [Database(url) for _ in range(3)]
    await asyncio.gather(*(open_as("payment", each) for each in instances))
    rows = await instances[0].run(lambda c: content(c, "payment"))
    assert sorted(len(each) for each in rows.values() if each) == [1, 2]
    for each in instances:
        await each.close()


@pytest.mark.parametrize("owner", ["coupon", "order"])
@pytest.mark.parametrize("has_stamp", [True, False], ids=["of this version", "of version 1"])
async def test_database_of_another_service_is_refused(
    url: str, owner: str, has_stamp: bool
) -> None:
    """One without a version is recognized by its tables."""
    participant = participant_of(owner)
    database = Database(url)
    history = participant.history if has_stamp else None
    await database.create(tables.metadata, participant.schema, history=history)
    for service in PARTICIPANTS:
        if service != owner:
            with pytest.raises(ConfigurationError, match=f"not of the {service} service"):
                await open_as(service, database)
    await open_as(owner, database)
    await database.close()


async def test_file_of_another_program_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "notes.db"
    with closing(sqlite3.connect(file)) as notes:
        notes.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY)")
    database = Database(f"sqlite+aiosqlite:///{file}")
    with pytest.raises(ConfigurationError, match="tables notes"):
        await open_as("payment", database)
    await database.close()
    with closing(sqlite3.connect(file)) as notes:
        names = notes.execute("SELECT name FROM sqlite_schema").fetchall()
    assert names == [("notes",)]


def test_each_service_has_an_application_id_of_its_own() -> None:
    numbers = {participant_of(service).history.application_id for service in PARTICIPANTS}
    assert len(numbers) == len(PARTICIPANTS)


def history_of(things: Table, *versions: int) -> SchemaHistory:
    upgrades = tuple(Upgrade(version, lambda _: None) for version in versions)
    return SchemaHistory("things", things, upgrades)


async def test_newer_version_with_additions_only_can_be_used(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    old, new = MetaData(), MetaData()
    things = Table("things", old, Column("id", Integer, primary_key=True))
    Table("things", new, Column("id", Integer, primary_key=True), Column("size", Integer))
    database = Database(url)
    await database.create(new, history=history_of(things, 2, 3))

    await database.create(old, history=history_of(things, 2))

    assert "the database is of a newer version, with additions only" in caplog.messages
    assert await database.run(history_of(things).find_version) == 3
    await database.close()


async def test_newer_version_that_needs_more_is_refused(url: str) -> None:
    old, new = MetaData(), MetaData()
    things = Table("things", old, Column("id", Integer, primary_key=True))
    size = Column("size", Integer, nullable=False)
    Table("things", new, Column("id", Integer, primary_key=True), size)
    database = Database(url)
    await database.create(new, history=history_of(things, 2, 3))
    with pytest.raises(ConfigurationError, match="newer version: its table things needs size"):
        await database.create(old, history=history_of(things, 2))
    await database.close()


def test_versions_ascend() -> None:
    for service in PARTICIPANTS:
        versions = [step.version for step in participant_of(service).history.upgrades]
        assert versions == sorted(set(versions))
        assert 1 not in versions
