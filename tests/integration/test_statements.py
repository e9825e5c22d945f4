"""Statements that are compiled once: values there and back, any number of keys, errors, indexes."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from pathlib import Path
from typing import Any

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
)
from sqlalchemy.exc import DataError, IntegrityError

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
COLUMNS = ("name", "number", "colour", "seen_at", "tags")
NOW = datetime(2030, 1, 2, 3, 4, 5, 678901, UTC)

add = inserting(things, COLUMNS)
change = updating(things, ("number", "colour"), ("name",))
rename = updating(things, ("name",), ("number",))
these = Statement(
    select(*(things.c[name] for name in COLUMNS))
    .where(among(things.c.name, "names"), things.c.number >= bindparam("least"))
    .order_by(things.c.name)
    .limit(5)
    .with_for_update(),
    "names",
    "least",
)


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with running_postgres() as server:
        yield create_database(server, "statements")


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    if request.param == "postgresql" and program("initdb") is None:
        pytest.skip("PostgreSQL is not installed (make postgres)")
    sqlite = f"sqlite+aiosqlite:///{tmp_path}/things.db"
    url = sqlite if request.param == "sqlite" else request.getfixturevalue("postgres")
    database = Database(url)
    await database.create(schema)
    await database.run(lambda connection: connection.execute(things.delete()))
    return database


async def test_values_come_back_as_they_went(database: Database) -> None:
    rows = [
        ("a", 1, Colour.RED, NOW, ("x", "y%")),
        ("b", 2, None, None, None),
        ("c", 3, Colour.BLUE, NOW.astimezone(timezone(timedelta(hours=9))), ()),
    ]

    def work(connection: Connection) -> list[tuple[object, ...]]:
        add.run(connection, rows)
        change.run(connection, [(20, Colour.BLUE, "b"), (0, None, "a")])
        return these.rows(connection, ["c", "b", "a", "nobody", "a"], 1)

    assert await database.run(work) == [
        ("b", 20, Colour.BLUE, None, None),
        ("c", 3, Colour.BLUE, NOW, ()),
    ]
    await database.close()


async def test_numbers_are_added_to_a_row_or_make_it(database: Database) -> None:
    count = adding(counts, ("units", "times"), by=("name", "day"))

    def work(connection: Connection) -> list[tuple[object, ...]]:
        count.run(connection, [("a", NOW.date(), 2, 1), ("b", NOW.date(), -7, 1)])
        count.run(connection, [("a", NOW.date(), 5, 1), ("a", NOW.date(), -1, 0)])
        return [tuple(row) for row in connection.execute(counts.select().order_by("name"))]

    assert await database.run(work) == [("a", NOW.date(), 6, 2), ("b", NOW.date(), -7, 1)]
    await database.close()


async def test_a_row_that_is_there_stays_as_it_is(database: Database) -> None:
    add_new = inserting_new(counts, ("name", "day", "units", "times"))

    def work(connection: Connection) -> list[tuple[object, ...]]:
        connection.execute(counts.delete())
        add_new.run(connection, [("a", NOW.date(), 1, 1)])
        add_new.run(connection, [("a", NOW.date(), 2, 2), ("b", NOW.date(), 3, 3)])
        found = [tuple(row) for row in connection.execute(counts.select().order_by("name"))]
        connection.execute(counts.delete())
        return found

    assert await database.run(work) == [("a", NOW.date(), 1, 1), ("b", NOW.date(), 3, 3)]
    await database.close()


async def test_two_instances_may_ask_about_an_order_for_the_first_time(database: Database) -> None:
    await database.create(tables.metadata)
    rows = [(1, NOW, "01a202d7-5cd1-7393-98b9-3bda1a9d1045")]
    for _ in range(2):
        await database.run(lambda connection: retransmission._asked_first.run(connection, rows))
    count = select(func.count()).select_from(tables.repeats)
    assert await database.run(lambda connection: connection.scalar(count)) == 1
    await database.close()


async def test_any_number_of_keys_is_one_parameter(database: Database) -> None:
    await database.run(lambda connection: add.run(connection, [("7", 7, None, None, None)]))
    names = [f"{i}" for i in range(100_000)]
    assert [row[0] for row in await database.run(lambda db: these.rows(db, names, 0))] == ["7"]
    assert await database.run(lambda db: these.rows(db, [], 0)) == []
    await database.close()


async def test_nothing_to_run_is_not_run(database: Database) -> None:
    await database.run(lambda connection: add.run(connection, []))
    assert await database.run(lambda db: these.rows(db, ["a"], 0)) == []
    await database.close()


async def test_errors_are_those_of_any_statement_and_nothing_stays(database: Database) -> None:
    def twice(connection: Connection) -> None:
        add.run(connection, [("a", 1, None, None, None)] * 2)

    with pytest.raises(IntegrityError, match="things"):
        await database.run(twice)
    assert await database.run(lambda db: these.rows(db, ["a"], 0)) == []
    await database.run(lambda connection: add.run(connection, [("a", 1, None, None, None)]))
    await database.close()


@pytest.mark.skipif(program("initdb") is None, reason="PostgreSQL is not installed (make postgres)")
async def test_what_is_too_long_is_refused_and_never_cut_off(postgres: str) -> None:
    """(SQLite keeps texts of any length.)"""
    database = Database(postgres)
    await database.create(schema)
    await database.run(lambda connection: connection.execute(things.delete()))
    await database.run(lambda connection: add.run(connection, [("a", 1, None, None, None)]))
    for write in (
        lambda connection: add.run(connection, [("b" * 41, 1, None, None, None)]),
        lambda connection: rename.run(connection, [("b" * 41, 1)]),
    ):
        with pytest.raises(DataError, match="too long"):
            await database.run(write)
    assert [row[0] for row in await database.run(lambda db: these.rows(db, ["a"], 0))] == ["a"]
    await database.close()


async def test_many_rows_are_written_as_one_by_one(database: Database) -> None:
    rows = [(f"{i:04}", i, None, NOW + timedelta(seconds=i), (f"{i}",)) for i in range(2_000)]

    def work(connection: Connection) -> list[tuple[object, ...]]:
        add.run(connection, rows)
        change.run(connection, [(-i, Colour.BLUE, f"{i:04}") for i in range(1_000, 2_000)])
        found = select(*(things.c[name] for name in COLUMNS)).order_by(things.c.name)
        return [tuple(row) for row in connection.execute(found)]

    written = await database.run(work)
    assert written[:1_000] == rows[:1_000]
    assert written[1_000:] == [
        (name, -number, Colour.BLUE, seen_at, tags)
        for name, number, _, seen_at, tags in rows[1_000:]
    ]
    await database.close()


async def test_what_the_database_can_not_do_now_is_an_outage(database: Database) -> None:
    def gone(connection: Connection) -> None:
        if not database.is_sqlite:
            connection.execute(text("SET LOCAL statement_timeout = 1"))
            Statement(select(text("pg_sleep(1)"))).rows(connection)
        connection.execute(text("PRAGMA query_only = ON"))
        add.run(connection, [("a", 1, None, None, None)])

    with pytest.raises(Outage):
        await database.run(gone)
    await database.close()


@pytest.mark.skipif(program("initdb") is None, reason="PostgreSQL is not installed (make postgres)")
async def test_a_broken_connection_is_an_outage_and_replaced(postgres: str) -> None:
    database, other = Database(postgres), create_engine(postgres)
    await database.create(schema)

    def killed(connection: Connection) -> None:
        ((pid,),) = Statement(select(func.pg_backend_pid())).rows(connection)
        with other.connect() as somebody:
            somebody.execute(select(func.pg_terminate_backend(pid)))
        these.rows(connection, ["a"], 0)

    with pytest.raises(Outage):
        await database.run(killed)
    assert await database.run(lambda db: these.rows(db, ["a"], 0)) == []
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
            prepared = statement._for(connection.dialect)
            if not prepared.text.startswith("INSERT"):
                explain = f"EXPLAIN QUERY PLAN {prepared.text}"
                values = tuple("[]" for _ in prepared._places)
                steps = [row[3] for row in connection.exec_driver_sql(explain, values)]
                assert [step for step in steps if _scans_a_table(step)] == [], prepared.text


def _scans_a_table(step: str) -> bool:
    """Read as a whole are the list of keys, and indexes that hold few of the rows."""
    few = ("json_each", "outbox_unpublished", "outbox_newest_catalog")
    return step.startswith("SCAN") and not any(each in step for each in few)


def _statements(service: Participant[Any]) -> Iterator[Statement]:
    """Those of the service's store and of the chassis."""
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
