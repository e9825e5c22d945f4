"""The audit log on both databases: append-only, in the transaction of the change, and bounded."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from litestar import Litestar, post
from sqlalchemy import Connection, select, text
from sqlalchemy.exc import DatabaseError

from chassis import audit_log
from chassis.actions import Action, ActionOutcome, AuditEntry, RequestedAction, without_request
from chassis.audit_log import BURST, AuditLog
from chassis.observability import metrics
from chassis.processing import retention
from chassis.processing.batch import Batch
from chassis.processing.messages import CommandMessage, Outcome
from chassis.processing.retention import Retention
from chassis.storage import tables
from chassis.storage.database import Database
from chassis.storage.statements import inserting
from chassis.web.access import PUBLIC
from chassis.web.actions import RECORDS_NOTHING, check_actions, records
from payment import tables as payment_tables
from payment.app import participant
from payment.commands import ChargeWallet, OpenWallet
from saga.errors import Outage
from tests.kit.client import wait_until
from tests.kit.settings import settings_of

NOW = datetime.now(UTC)
CUSTOMER = "3fa85f64-5717-4562-b3fc-2c963f66afa6"
DAY = timedelta(days=1)
CHARGE = Action("WALLET_CHARGE", "customerId")


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = Database(url)
    await database.create(tables.metadata, payment_tables.schema, history=participant.history)
    yield database
    await database.close()


def requested(action: Action = CHARGE, **more: Any) -> RequestedAction:
    values = {"subject": "kim", "roles": "shopkeeper", "client_address": "192.0.2.7"}
    return RequestedAction(action=action, traceparent=None, kept=DAY, **values | more)


def entry(number: int = 1, kept: timedelta = DAY, outcome: str = "REFUSED") -> AuditEntry:
    made = without_request(Action(f"ACTION_{number}"), NOW, kept)
    return msgspec.structs.replace(made, outcome=ActionOutcome(outcome))


async def write(database: Database, *entries: AuditEntry) -> None:
    await database.run(lambda connection: audit_log.append(connection, entries))


async def execute(database: Database, sql: str) -> None:
    await database.run(lambda connection: connection.execute(text(sql)))


async def entries(database: Database) -> list[dict[str, Any]]:
    query = select(tables.audit_log).order_by(tables.audit_log.c.id)
    return await database.run(
        lambda connection: [dict(row) for row in connection.execute(query).mappings()]
    )


async def run(database: Database, *messages: CommandMessage) -> list[Outcome]:
    def work(connection: Connection) -> list[Outcome]:
        batch = Batch(participant, lambda now: ("test", now + timedelta(seconds=10)), NOW)
        return batch.run(connection, messages)

    return await database.run(work)


def command(of: object, action: RequestedAction) -> CommandMessage:
    return CommandMessage(of, asyncio.get_running_loop().create_future(), action=action)


# ---------------------------------------------------------------- append-only


FORBIDDEN = {
    "sqlite": (
        "UPDATE audit_log SET subject = 'another'",
        "DELETE FROM audit_log",
        """REPLACE INTO audit_log SELECT id, at, 'another', roles, client_address, action, kind,
        target, on_behalf_of, outcome, code, traceparent, times, kept_until FROM audit_log""",
        "UPDATE audit_log SET kept_until = '2000-01-01 00:00:00.000000'",
    ),
    "postgresql": (
        "UPDATE audit_log SET subject = 'another'",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
        "UPDATE audit_log SET kept_until = '2000-01-01'",
        """INSERT INTO audit_log SELECT * FROM audit_log
        ON CONFLICT (id) DO UPDATE SET subject = 'another'""",
    ),
}


async def test_database_refuses_to_change_or_delete_an_entry(database: Database, url: str) -> None:
    await write(database, entry())
    before = await entries(database)
    for statement in FORBIDDEN[url.partition("+")[0]]:
        with pytest.raises(DatabaseError, match="audit_log is append-only"):
            await execute(database, statement)
    assert await entries(database) == before
    assert len(before) == 1


async def test_retention_deletes_what_is_over_and_nothing_else(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service's clock that is ahead deletes nothing that the database's clock keeps."""
    monkeypatch.setattr(retention, "EVERY_SECONDS", 0.01)
    monkeypatch.setattr(retention, "STEADY_SECONDS", 0)
    await write(database, entry(1, -DAY), entry(2), entry(3, -DAY))
    work = Retention(participant, database, lambda: NOW + 400 * DAY, settings_of("payment", {}))
    task = asyncio.create_task(work.run())

    async def is_deleted() -> bool:
        return len(await entries(database)) == 1

    try:
        await wait_until(is_deleted, "the entries that are over are deleted")
        assert not task.done()
    finally:
        task.cancel()
    assert [each["action"] for each in await entries(database)] == ["ACTION_2"]


async def test_database_of_an_earlier_version_gets_the_log_with_its_triggers(url: str) -> None:
    older = Database(url)
    without = [each for each in tables.metadata.sorted_tables if each is not tables.audit_log]
    await older.run(lambda connection: tables.metadata.create_all(connection, without))
    await older.run(payment_tables.schema.create_all)
    for _ in range(2):
        await older.create(tables.metadata, payment_tables.schema, history=participant.history)
    await write(older, entry())
    with pytest.raises(DatabaseError, match="append-only"):
        await execute(older, "DELETE FROM audit_log")
    await older.close()


# ---------------------------------------------------------------- with the change


async def test_entry_and_change_are_committed_together_or_not_at_all(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = command(OpenWallet(customer_id=CUSTOMER), requested(on_behalf_of=CUSTOMER))
    monkeypatch.setattr(
        audit_log, "_insert", inserting(tables.audit_log, ("id", "at"))
    )  # an entry that can't be written
    with pytest.raises(Exception, match=r"client_address|id"):
        await run(database, opened)
    wallets = select(payment_tables.wallets_table)
    assert await database.run(lambda connection: connection.execute(wallets).all()) == []
    monkeypatch.undo()

    await run(database, opened)
    [found] = await entries(database)
    assert len(await database.run(lambda connection: connection.execute(wallets).all())) == 1
    expected = {
        "at": NOW,
        "subject": "kim",
        "roles": "shopkeeper",
        "client_address": "192.0.2.7",
        "action": "WALLET_CHARGE",
        "kind": "customer",
        "target": CUSTOMER,
        "on_behalf_of": CUSTOMER,
        "outcome": "DONE",
        "code": None,
        "kept_until": NOW + DAY,
        "times": 1,
    }
    assert expected.items() <= found.items()


async def test_what_is_refused_or_changes_nothing_has_no_entry_in_the_batch(
    database: Database,
) -> None:
    open_it = OpenWallet(customer_id=CUSTOMER)
    await run(database, command(open_it, requested()))
    await run(database, command(open_it, requested()))
    missing = ChargeWallet(customer_id="c5f2f0d4-8a43-4f0e-8f5b-0d2f4c1b9e77", amount=1)
    await run(database, command(missing, requested()))
    assert len(await entries(database)) == 1


async def test_what_users_do_for_themselves_has_no_entry(database: Database) -> None:
    everyday = Action("WALLET_OPEN", "customerId", is_everyday=True)
    await run(database, command(OpenWallet(customer_id=CUSTOMER), requested(everyday)))
    assert await entries(database) == []
    charge = ChargeWallet(customer_id=CUSTOMER, amount=5)
    await run(database, command(charge, requested(everyday, on_behalf_of=CUSTOMER)))
    assert [each["on_behalf_of"] for each in await entries(database)] == [CUSTOMER]


# ---------------------------------------------------------------- bounded


async def test_flood_of_refusals_has_a_bounded_number_of_entries(database: Database) -> None:
    log = AuditLog(database)
    counted = metrics.audit_log_counted._value.get()
    for _ in range(10_000):
        log.add(entry(1))
    log.add(entry(2))
    await log.close()
    found = await entries(database)
    assert len(found) == BURST + 2, "one counts the others; another action has its own"
    assert [each["times"] for each in found if each["times"] > 1] == [10_000 - BURST]
    assert sum(each["times"] for each in found) == 10_001
    assert metrics.audit_log_counted._value.get() - counted == 10_000 - BURST
    assert all(each["outcome"] == "REFUSED" for each in found)


async def test_refusals_wait_while_the_database_is_away(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = AuditLog(database)
    real, tries = database.run, 0

    async def away(*arguments: Any, **named: Any) -> Any:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise Outage("away")
        return await real(*arguments, **named)

    monkeypatch.setattr(audit_log, "GATHER_SECONDS", 0.01)
    monkeypatch.setattr(database, "run", away)
    task = asyncio.create_task(log.run())
    log.add(entry(1))

    async def is_written() -> bool:
        return tries >= 3 and len(await entries(database)) == 1

    try:
        await wait_until(is_written, "the refusal is written")
    finally:
        task.cancel()


# ---------------------------------------------------------------- declared


async def _change() -> None:
    """A route."""


def test_route_that_changes_something_names_its_action() -> None:
    def app(**more: Any) -> Litestar:
        return Litestar(
            [post("/api/v1/trips", guards=[PUBLIC], **more)(_change)], openapi_config=None
        )

    with pytest.raises(TypeError, match="name its action"):
        check_actions(app())
    check_actions(app(opt=records("TRIP_ADD")))
    check_actions(app(opt=RECORDS_NOTHING))
