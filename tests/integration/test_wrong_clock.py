"""A clock that was ahead for a while: what it has written is due soon, and not a year later."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Boolean, Column, Connection, Enum, Integer, Table, insert
from sqlalchemy.ext.asyncio import AsyncConnection

import coupon.app
import dataplatform.app
import order.app
import payment.app
import product.app
from chassis.outbox.retransmission import Retransmitter
from chassis.ports import Broker
from chassis.storage import tables
from chassis.storage.database import Database
from dataplatform import store as dataplatform_store
from order import store as order_store
from payment import store as payment_store
from product import store as product_store
from tests.kit.settings import settings_of

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
A_YEAR = timedelta(days=365)
SOON = timedelta(seconds=30)
"""A right clock of another machine may be ahead by this much."""

Find = Callable[[AsyncConnection], Awaitable[Any]]


def find_deliveries(connection: AsyncConnection) -> Awaitable[Any]:
    return dataplatform_store.find_due(connection, NOW, 10)


def find_payments(connection: AsyncConnection) -> Awaitable[Any]:
    return payment_store.find_overdue_calls(connection, NOW, settings_of("payment"))


def find_orders(connection: AsyncConnection) -> Awaitable[Any]:
    return order_store.find_overdue(connection, NOW, settings_of("order"))


def find_waits(connection: AsyncConnection) -> Awaitable[Any]:
    return product_store.find_expired_waits(connection, NOW, settings_of("product"))


def row_of(table: Table, **values: object) -> dict[str, object]:
    """A row with these values, and with any others in the columns that need one."""
    return {
        column.key: values.get(column.key, _any_value(column))
        for column in table.columns
        if column.key in values or not column.nullable
    }


def _any_value(column: Column[Any]) -> object:
    match column.type:
        case tables.Time():
            return NOW
        case Enum():
            return column.type.enums[0]
        case Boolean():
            return False
        case Integer():
            return 1
        case tables.Json():
            return []
    return "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"


async def opened(
    folder: Path, participant: Any, *rows: tuple[Table, dict[str, object]]
) -> Database:
    database = Database(f"sqlite+aiosqlite:///{folder}/db")
    await database.create(tables.metadata, participant.schema)
    for table, row in rows:
        await database.run(partial(_insert, table, row))
    return database


def _insert(table: Table, row: dict[str, object], connection: Connection) -> None:
    connection.execute(insert(table), row)


@pytest.mark.parametrize(
    ("participant", "column", "state", "find"),
    [
        (order.app.participant, "orders.created_at", "PENDING", find_orders),
        (order.app.participant, "orders.created_at", "WAITING", find_orders),
        (product.app.participant, "holds.updated_at", "WAITING", find_waits),
        (payment.app.participant, "payments.retry_at", "INTENT", find_payments),
        (payment.app.participant, "top_ups.retry_at", "INTENT", find_payments),
        (dataplatform.app.participant, "deliveries.next_at", "PENDING", find_deliveries),
    ],
)
@pytest.mark.parametrize(
    ("ahead", "found"), [(-A_YEAR, 1), (SOON, 0), (A_YEAR, 1)], ids=["past", "soon", "implausible"]
)
async def test_timer_finds_what_a_wrong_clock_has_set(
    tmp_path: Path,
    participant: Any,
    column: str,
    state: str,
    find: Find,
    ahead: timedelta,
    found: int,
) -> None:
    name, _, time = column.partition(".")
    table = participant.schema.tables[name]
    row = row_of(table, state=state, **{time: NOW + ahead})
    database = await opened(tmp_path, participant, (table, row))
    async with database.reading() as connection:
        assert len(await find(connection)) == found
    await database.close()


@pytest.mark.parametrize(
    "participant",
    [
        each.participant
        for each in (order.app, coupon.app, product.app, payment.app, dataplatform.app)
        if each.participant.unsettled
    ],
    ids=lambda participant: participant.name,
)
@pytest.mark.parametrize(
    ("waits_since", "next_at", "due"),
    [
        (-A_YEAR, -A_YEAR, 1),
        (SOON, -A_YEAR, 0),
        (A_YEAR, -A_YEAR, 1),
        (-A_YEAR, timedelta(minutes=12), 0),
        (-A_YEAR, A_YEAR, 1),
        (A_YEAR, A_YEAR, 1),
    ],
)
async def test_retransmission_is_due_although_a_wrong_clock_has_set_its_time(
    tmp_path: Path,
    participant: Any,
    waits_since: timedelta,
    next_at: timedelta,
    due: int,
) -> None:
    rows, state = participant.saga_rows, min(participant.unsettled)
    waiting = row_of(rows, state=state, updated_at=NOW + waits_since)
    key = waiting[participant.saga_key.key]
    repeat = {"saga_key": key, "times": 3, "next_at": NOW + next_at}
    database = await opened(tmp_path, participant, (rows, waiting), (tables.repeats, repeat))
    unused: Broker = None  # type: ignore[assignment]  # nothing is published here
    retransmitter = Retransmitter(
        participant, database, unused, lambda: NOW, after_seconds=30, is_calm=lambda: True
    )
    found = await database.run(lambda connection: retransmitter._due(connection, NOW))
    assert found == ({key: 4} if due else {})
    await database.close()
