"""Payments and top-ups of schema version 2 keep their rows when the gateway's columns are added."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, inspect, text

from chassis.storage import tables
from chassis.storage.database import Database
from payment.app import participant
from payment.domain import Payment, PaymentState
from payment.store import find_payment_of
from payment.tables import payments_table, top_ups_table
from tests.kit.postgres import create_database, program, running_postgres

VERSION_2 = """
CREATE TABLE payments (
    order_id VARCHAR(36) NOT NULL, payment_id VARCHAR(36) NOT NULL,
    customer_id VARCHAR(36) NOT NULL, method VARCHAR(32) NOT NULL, amount BIGINT NOT NULL,
    discount_amount BIGINT NOT NULL, state VARCHAR(32) NOT NULL, fail_reason VARCHAR(32),
    attempt INTEGER NOT NULL, voiding BOOLEAN NOT NULL, stray VARCHAR(32),
    created_at {time} NOT NULL, updated_at {time} NOT NULL, retry_at {time},
    PRIMARY KEY (order_id), UNIQUE (payment_id)
);
CREATE INDEX payments_due ON payments (retry_at) WHERE retry_at IS NOT NULL;
CREATE INDEX payments_unsettled ON payments (updated_at) WHERE state IN ('INTENT', 'REFUNDING');
CREATE TABLE top_ups (
    top_up_id VARCHAR(36) NOT NULL, customer_id VARCHAR(36) NOT NULL, amount BIGINT NOT NULL,
    state VARCHAR(32) NOT NULL, created_at {time} NOT NULL, updated_at {time} NOT NULL,
    retry_at {time}, PRIMARY KEY (top_up_id)
);
CREATE INDEX top_ups_due ON top_ups (retry_at) WHERE retry_at IS NOT NULL;
INSERT INTO payments VALUES ('o', 'p', 'c', 'CARD', 700, 0, 'CAPTURED', NULL, 0, FALSE, NULL,
    '2026-11-01', '2026-11-02', NULL);
INSERT INTO top_ups VALUES ('t', 'c', 70, 'BOOKED', '2026-11-01', '2026-11-02', NULL)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    if program("initdb") is None:
        pytest.skip("PostgreSQL is not installed (make postgres)")
    with running_postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/payment.db"
    server: str = request.getfixturevalue("server")
    return create_database(server, "payment")


def create_version_2(connection: Connection) -> None:
    is_sqlite = connection.dialect.name == "sqlite"
    time = "DATETIME" if is_sqlite else "TIMESTAMP WITH TIME ZONE"
    for statement in VERSION_2.format(time=time).split(";"):
        connection.execute(text(statement))


def definitions(connection: Connection) -> list[Any]:
    """The columns and indexes of the changed tables."""
    inspector = inspect(connection)
    return [
        (
            [(each["name"], str(each["type"])) for each in inspector.get_columns(table.name)],
            sorted(str(each["name"]) for each in inspector.get_indexes(table.name)),
        )
        for table in (payments_table, top_ups_table)
    ]


async def open_as_payment(url: str) -> Database:
    database = Database(url)
    schema, history = participant.schema, participant.history
    await database.create(tables.metadata, schema, history=history)
    return database


async def test_version_2_is_upgraded_with_its_rows(url: str, tmp_path: Path) -> None:
    old = Database(url)
    await old.run(create_version_2)
    await old.close()

    database = await open_as_payment(url)

    async with database.reading() as connection:
        payment = await find_payment_of(connection, "o")
    assert isinstance(payment, Payment)
    assert (payment.state, payment.amount) == (PaymentState.CAPTURED, 700)
    assert (payment.gateway_transaction_id, payment.fail_detail) == (None, None)
    assert (payment.paid_at, payment.refunded_at) == (None, None)
    assert await database.run(participant.history.find_version) == participant.history.version
    upgraded = await database.run(definitions)
    await database.close()
    again = await open_as_payment(url)  # a second start finds nothing to do
    await again.close()
    if url.startswith("sqlite"):
        new = await open_as_payment(f"sqlite+aiosqlite:///{tmp_path}/new.db")
        assert upgraded == await new.run(definitions)
        await new.close()
    assert "payments_of_customer" in upgraded[0][1]
