"""Compiled statements: values written and read, any number of keys, errors, indexes."""

import sqlite3
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import (
    Column,
    Connection,
    Date,
    DateTime,
    Integer,
    MetaData,
    String,
    Table,
    bindparam,
    create_engine,
    func,
    select,
    text,
    update,
)

from chassis.outbox import reconciliation, relay, retransmission
from chassis.participant import Participant
from chassis.processing import batch
from chassis.storage import tables
from chassis.storage.database import Database
from chassis.storage.mapping import Mapped
from chassis.storage.statements import Statement, adding, among, inserting, inserting_new, updating
from chassis.storage.tables import Json, Time, one_of
from coupon.app import participant as coupon
from events.contract import CONTRACT
from order.app import participant as order
from payment.app import participant as payment
from product.app import participant as product
from saga.errors import Outage
from tests.kit.postgres import create_database, program, running_postgres


class Colour(StrEnum):
    RED = "RED"
    BLUE = "BLUE"


schema = MetaData()
things = Table(
    "things",
    schema,
    Column("name", String(40), primary_key=True),
    Column("number", Integer, nullable=False),
    Column("colour", one_of(Colour)),
    Column("seen_at", Time),
    Column("tags", Json(tuple[str, ...])),
)
counts = Table(
    "counts",
    schema,
    Column("name", String(40), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("units", Integer, nullable=False),
    Column("times", Integer, nullable=False),
)
NOW = datetime(2030, 1, 2, 3, 4, 5, 678901, UTC)


class Thing(msgspec.Struct):
    name: str
    number: int = 1
    colour: Colour | None = None
    seen_at: datetime | None = None
    tags: tuple[str, ...] | None = None


add = inserting(things, Thing.__struct_fields__)
change = updating(things, ("number", "colour"), ("name",))
rename = updating(things, ("name",), ("number",))
select_things = select(*(things.c[name] for name in Thing.__struct_fields__)).order_by(
    things.c.name
)
these = Statement(
    select_things.where(among(things.c.name, "names"), things.c.number >= bindparam("least"))
    .limit(5)
    .with_for_update()
)


def add_thing(connection: Connection) -> None:
    add.execute_many(connection, [Thing("a")])


def names(connection: Connection) -> list[str]:
    """Of the things `a` and `b`, those that exist."""
    return [name for name, *_ in these.fetch(connection, names=["a", "b"], least=0)]


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with running_postgres() as server:
        yield create_database(server, "statements")


def empty(connection: Connection) -> None:
    for table in schema.sorted_tables:
        connection.execute(table.delete())


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    if request.param == "postgresql" and program("initdb") is None:
        pytest.skip("PostgreSQL is not installed (make postgres)")
    sqlite = f"sqlite+aiosqlite:///{tmp_path}/things.db"
    url = sqlite if request.param == "sqlite" else request.getfixturevalue("postgres")
    database = Database(url)
    await database.create(schema)
    await database.run(empty)
    return database


async def test_values_are_read_as_they_were_written(database: Database) -> None:
    rows = [
        Thing("a", 1, Colour.RED, NOW, ("x", "y%")),
        Thing("b", 2),
        Thing("c", 3, Colour.BLUE, NOW.astimezone(timezone(timedelta(hours=9))), ()),
    ]

    def work(connection: Connection) -> list[tuple[object, ...]]:
        add.execute_many(connection, rows)
        changes = [
            {"name": "b", "number": 20, "colour": Colour.BLUE},
            {"name": "a", "number": 0, "colour": None},
        ]
        change.execute_many(connection, changes)
        return these.fetch(connection, names=["c", "b", "a", "unknown", "a"], least=1)

    assert await database.run(work) == [
        ("b", 20, Colour.BLUE, None, None),
        ("c", 3, Colour.BLUE, NOW, ()),
    ]
    await database.close()


async def test_common_values_are_those_of_every_row(database: Database) -> None:
    def work(connection: Connection) -> list[tuple[object, ...]]:
        for some in (["a"], ["b", "c"], []):
            rows = [{"name": name, "tags": (name,)} for name in some]
            add.execute_many(connection, rows, number=7, colour=Colour.RED, seen_at=NOW)
        change.execute_many(connection, [{"name": "b"}, {"name": "c"}], number=8, colour=None)
        return these.fetch(connection, names=["a", "b", "c"], least=0)

    assert await database.run(work) == [
        ("a", 7, Colour.RED, NOW, ("a",)),
        ("b", 8, None, NOW, ("b",)),
        ("c", 8, None, NOW, ("c",)),
    ]
    await database.close()


async def test_statement_without_parameters_is_executed(database: Database) -> None:
    def work(connection: Connection) -> list[tuple[object, ...]]:
        add_thing(connection)
        Statement(update(things).values(number=things.c.number + 1)).execute(connection)
        return Statement(select(things.c.number)).fetch(connection)

    assert await database.run(work) == [(2,)]
    await database.close()


async def test_a_missing_value_is_an_error(database: Database) -> None:
    with pytest.raises(KeyError, match="least"):
        await database.run(lambda connection: these.fetch(connection, names=["a"]))
    await database.close()


def count(name: str, units: int, times: int) -> dict[str, object]:
    return {"name": name, "day": NOW.date(), "units": units, "times": times}


async def read_counts(database: Database) -> list[tuple[object, ...]]:
    columns = select(counts.c.name, counts.c.units, counts.c.times).order_by(counts.c.name)
    return await database.run(
        lambda connection: [tuple(row) for row in connection.execute(columns)]
    )


async def test_numbers_are_added_to_a_row_or_inserted(database: Database) -> None:
    add_counts = adding(counts, ("units", "times"), by=("name", "day"))

    def work(connection: Connection) -> None:
        add_counts.execute_many(connection, [count("a", 2, 1), count("b", -7, 1)])
        add_counts.execute_many(connection, [count("a", 5, 1), count("a", -1, 0)])

    await database.run(work)
    assert await read_counts(database) == [("a", 6, 2), ("b", -7, 1)]
    await database.close()


async def test_an_existing_row_stays_as_it_is(database: Database) -> None:
    add_new = inserting_new(counts, ("name", "day", "units", "times"))

    def work(connection: Connection) -> None:
        add_new.execute(connection, **count("a", 1, 1))
        add_new.execute_many(connection, [count("a", 2, 2), count("b", 3, 3)])

    await database.run(work)
    assert await read_counts(database) == [("a", 1, 1), ("b", 3, 3)]
    await database.close()


async def test_two_instances_may_retransmit_for_the_first_time(database: Database) -> None:
    await database.create(tables.metadata)
    saga = retransmission.Backoff("01a202d7-5cd1-7393-98b9-3bda1a9d1045", times=1, next_at=NOW)
    for _ in range(2):
        await database.run(lambda db: retransmission._asked_first.execute_many(db, [saga]))
    rows = select(func.count()).select_from(tables.repeats)
    assert await database.run(lambda connection: connection.scalar(rows)) == 1
    await database.close()


async def test_any_number_of_keys_is_one_parameter(database: Database) -> None:
    await database.run(lambda db: add.execute_many(db, [Thing("7")]))

    def find(connection: Connection, keys: list[str]) -> list[object]:
        return [row[0] for row in these.fetch(connection, names=keys, least=0)]

    assert await database.run(lambda db: find(db, [f"{i}" for i in range(100_000)])) == ["7"]
    assert await database.run(lambda db: find(db, [])) == []
    await database.close()


async def test_a_statement_without_rows_is_not_executed(database: Database) -> None:
    await database.run(lambda connection: add.execute_many(connection, []))
    assert await database.run(names) == []
    await database.close()


async def test_statement_that_fails_is_rolled_back(database: Database) -> None:
    def add_twice(connection: Connection) -> None:
        add.execute_many(connection, [Thing("a")] * 2)

    with pytest.raises((sqlite3.IntegrityError, psycopg.IntegrityError), match="things"):
        await database.run(add_twice)
    assert await database.run(names) == []
    await database.run(add_thing)
    await database.close()


@pytest.mark.skipif(program("initdb") is None, reason="PostgreSQL is not installed (make postgres)")
async def test_a_text_that_is_too_long_is_rejected_and_never_cut(postgres: str) -> None:
    """(SQLite stores texts of any length.)"""
    database = Database(postgres)
    await database.create(schema)
    await database.run(empty)
    await database.run(add_thing)
    for statement in (add, rename):
        write = partial(statement.execute_many, rows=[Thing("b" * 41)])
        with pytest.raises(psycopg.DataError, match="too long"):
            await database.run(write)
    assert await database.run(names) == ["a"]
    await database.close()


async def test_many_rows_are_written_as_one_by_one(database: Database) -> None:
    rows = [Thing(f"{i:04}", i, None, NOW + timedelta(seconds=i), (f"{i}",)) for i in range(2_000)]
    changed = [msgspec.structs.replace(row, number=-row.number) for row in rows[1_000:]]

    def work(connection: Connection) -> list[Thing]:
        add.execute_many(connection, rows)
        change.execute_many(connection, changed)
        return [Thing(*row) for row in connection.execute(select_things)]

    assert await database.run(work) == rows[:1_000] + changed
    await database.close()


async def test_a_database_that_can_not_write_is_an_outage(database: Database) -> None:
    def fail(connection: Connection) -> None:
        if not database.is_sqlite:
            connection.execute(text("SET LOCAL statement_timeout = 1"))
            Statement(select(text("pg_sleep(1)"))).fetch(connection)
        connection.execute(text("PRAGMA query_only = ON"))
        add_thing(connection)

    with pytest.raises(Outage):
        await database.run(fail)
    await database.close()


@pytest.mark.skipif(program("initdb") is None, reason="PostgreSQL is not installed (make postgres)")
@pytest.mark.parametrize("by", ["an operator", "a timeout"])
async def test_a_broken_connection_is_an_outage_and_replaced(postgres: str, by: str) -> None:
    """The driver has an InternalError for the timeout, and an OperationalError for the operator."""
    database, other = Database(postgres), create_engine(postgres)
    await database.create(schema)
    await database.run(empty)

    def use_a_killed_connection(connection: Connection) -> None:
        ((pid,),) = Statement(select(func.pg_backend_pid())).fetch(connection)
        if by == "a timeout":
            connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 1"))
        with other.connect() as killer:
            if by == "an operator":
                killer.execute(select(func.pg_terminate_backend(pid)))
            lives = text("SELECT 1 FROM pg_stat_activity WHERE pid = :pid").bindparams(pid=pid)
            while killer.scalar(lives):
                killer.rollback()
        names(connection)

    with pytest.raises(Outage):
        await database.run(use_a_killed_connection)
    assert await database.run(names) == []
    other.dispose()
    await database.close()


@pytest.mark.parametrize("service", [order, product, coupon, payment], ids=lambda each: each.name)
def test_no_statement_of_a_batch_scans_a_table(service: Participant[Any]) -> None:
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        tables.metadata.create_all(connection)
        for index in tables.newest_only_indexes(CONTRACT.streams.values()):
            connection.execute(text(index))
        service.schema.create_all(connection)
        statements = list(_statements(service))
        assert len(statements) > 15
        for statement in statements:
            prepared = statement.prepare(connection.dialect)
            if not prepared.text.startswith("INSERT"):
                explain = f"EXPLAIN QUERY PLAN {prepared.text}"
                values = tuple("[]" for _ in prepared.names)
                steps = [row[3] for row in connection.exec_driver_sql(explain, values)]
                assert [step for step in steps if _scans_a_table(step)] == [], prepared.text


def _scans_a_table(step: str) -> bool:
    """Only the list of keys and indexes that hold few of the rows may be read as a whole."""
    few = ("json_each", "outbox_unpublished", "outbox_newest_")
    return step.startswith("SCAN") and not any(each in step for each in few)


def _statements(service: Participant[Any]) -> Iterator[Statement]:
    """The statements of the service's store and of the chassis."""
    store = sys.modules[service.load.__module__]
    for found in {**vars(store), **vars(batch), **vars(relay), **vars(retransmission)}.values():
        if isinstance(found, Statement):
            yield found
        elif isinstance(found, Mapped):
            yield found._update
            yield found._loading_by(found._key[0])
    for stream in CONTRACT.streams.values():
        yield reconciliation._page(stream)
    yield retransmission._waiting(service.saga_rows, service.saga_key, service.unsettled)


@given(st.datetimes(timezones=st.timezones()))
def test_times_are_written_as_sqlalchemy_does(time: datetime) -> None:
    try:
        in_utc = time.astimezone(UTC)
    except OverflowError:
        return  # before the year 1 or after 9999
    dialect = create_engine("sqlite://").dialect
    slow = DateTime().dialect_impl(dialect).bind_processor(dialect)
    fast = Time().bind_processor(dialect)
    assert slow is not None
    assert fast is not None
    assert fast(time) == slow(in_utc)
