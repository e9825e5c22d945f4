"""Dead letters on both databases: their states, and what a redrive would do."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, func, select

from chassis.participant import Participant
from chassis.ports import DeliveredMessage
from chassis.processing import dead_letters, redriving
from chassis.processing.batch import Batch
from chassis.processing.dead_letters import DeadLetter, Redelivery
from chassis.processing.messages import DeadLetterReason, EventMessage, Outcome
from chassis.processing.redriving import Redriving
from chassis.storage import tables
from chassis.storage.database import Database
from events.contract import (
    CONTRACT,
    OrderCancelRequested,
    OrderTimedOut,
    PaymentMethod,
    StockDecremented,
)
from payment import tables as payment_tables
from payment.app import participant
from saga import envelope
from saga.errors import Conflict, NotFound
from saga.event import Event
from saga.reactions import Reactions
from tests.integration.deliveries import Delivered

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
TRIPPED = DeadLetterReason("RAISED", "RuntimeError: tripped")
AGAIN = DeadLetterReason("RAISED", "RuntimeError: tripped again")


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = Database(url)
    await database.create(tables.metadata, payment_tables.schema)
    yield database
    await database.close()


async def run(
    database: Database, *messages: EventMessage, of: Participant[Any] = participant
) -> list[Outcome]:
    def work(connection: Connection) -> list[Outcome]:
        batch = Batch(of, lambda now: ("test", now + timedelta(seconds=10)), NOW)
        return batch.run(connection, messages)

    return await database.run(work)


def sold(order_id: str, method: PaymentMethod = PaymentMethod.WALLET) -> StockDecremented:
    """Its customer has no wallet: the payment fails."""
    return StockDecremented(
        order_id=order_id,
        customer_id=str(uuid4()),
        items=(),
        total_amount=100,
        discount_amount=0,
        payable_amount=100,
        payment_method=method,
    )


def received(event: Event, body: bytes | None = None) -> EventMessage:
    return EventMessage(Delivered(envelope.encode(event, NOW), body), CONTRACT)


async def dead_letter(database: Database, event: Event, body: bytes | None = None) -> int:
    """Store one of an event, on which the code raised. Returns its id."""
    message = received(event, body)
    message.dead_letter_reason = message.dead_letter_reason or TRIPPED
    await run(database, message)
    newest = select(func.max(tables.dead_letters.c.id))
    return await database.run(lambda connection: connection.execute(newest).scalar_one())


async def redelivered(database: Database, letter_id: int) -> EventMessage:
    """The letter on its way through a mailbox."""
    async with database.reading() as connection:
        row = await dead_letters.find(connection, letter_id)
    assert row is not None
    return EventMessage(Redelivery(row), CONTRACT)


async def failing(database: Database, letter_id: int) -> EventMessage:
    """The same, after the code has raised for the last time."""
    message = await redelivered(database, letter_id)
    message.dead_letter_reason = AGAIN
    return message


async def letter(database: Database, letter_id: int) -> DeadLetter:
    async with database.reading() as connection:
        row = await dead_letters.find(connection, letter_id)
    assert row is not None
    return dead_letters.view(row)


async def counts(database: Database) -> dict[str, int]:
    """The number of rows of each table."""
    found = [*tables.metadata.sorted_tables, *payment_tables.schema.sorted_tables]

    def count(connection: Connection) -> dict[str, int]:
        sizes = {
            each.name: connection.scalar(select(func.count()).select_from(each)) for each in found
        }
        return {name: size for name, size in sizes.items() if size}

    return await database.run(count)


def desk(
    database: Database, *, of: Participant[Any] = participant, handles: bool = True
) -> Redriving:
    """With a mailbox whose messages are handled at once, or not at all."""
    handling: set[asyncio.Task[None]] = set()

    async def handle(delivery: DeliveredMessage) -> None:
        await run(database, EventMessage(delivery, CONTRACT), of=of)
        delivery.ack()

    def receive(delivery: DeliveredMessage) -> None:
        if handles:
            handling.add(asyncio.create_task(handle(delivery)))

    return Redriving(of, database, database.reading, receive, lambda: NOW)


# ---------------------------------------------------------------- states


async def test_redrive_that_fails_again_updates_the_letter(database: Database) -> None:
    letter_id = await dead_letter(database, sold(str(uuid4())))
    stored = await letter(database, letter_id)
    assert (stored.status, stored.attempts, stored.redriven_at) == ("OPEN", 0, None)

    for attempts in (1, 2):
        await run(database, await failing(database, letter_id))
        failed = await letter(database, letter_id)
        assert (failed.status, failed.attempts) == ("FAILED_AGAIN", attempts)
        assert (failed.error, failed.redriven_at) == (AGAIN.error, NOW)
    await run(database, await redelivered(database, letter_id))

    done = await letter(database, letter_id)
    assert (done.status, done.attempts) == ("REDRIVEN", 3)
    assert (await counts(database))["dead_letters"] == 1


async def test_two_redrives_of_a_letter_are_one_attempt(database: Database) -> None:
    letter_id = await dead_letter(database, sold(str(uuid4())))
    first, second, late = [await redelivered(database, letter_id) for _ in range(3)]
    await run(database, first, second)
    await run(database, late)
    done = await letter(database, letter_id)
    assert (done.status, done.attempts) == ("REDRIVEN", 1)
    assert (await counts(database))["outbox"] == 1


async def test_failure_after_a_success_elsewhere_changes_nothing(database: Database) -> None:
    """Another instance, of an older version, took the same letter and raised."""
    letter_id = await dead_letter(database, sold(str(uuid4())))
    late = await failing(database, letter_id)
    await run(database, await redelivered(database, letter_id))
    done = await letter(database, letter_id)
    await run(database, late)
    assert await letter(database, letter_id) == done
    assert done.status == "REDRIVEN"


async def test_letter_that_is_dismissed_meanwhile_is_not_handled(database: Database) -> None:
    letter_id = await dead_letter(database, sold(str(uuid4())))
    late = await redelivered(database, letter_id)
    dismissed = await desk(database).dismiss(letter_id, "sent by hand")
    await run(database, late)
    assert await letter(database, letter_id) == dismissed
    assert (dismissed.status, dismissed.dismissed_at) == ("DISMISSED", NOW)
    assert await counts(database) == {"dead_letters": 1}


async def test_outcome_and_effect_are_committed_together(database: Database) -> None:
    def save_and_fail(connection: Connection, uow: Any) -> None:
        participant.save(connection, uow)
        raise RuntimeError("the power is gone")

    broken = Participant(
        reactions=participant.reactions,
        load=participant.load,
        save=save_and_fail,
        schema=participant.schema,
        saga_rows=participant.saga_rows,
        unsettled=participant.unsettled,
    )
    letter_id = await dead_letter(database, sold(str(uuid4())))
    before = await letter(database, letter_id)
    with pytest.raises(RuntimeError):
        await run(database, await redelivered(database, letter_id), of=broken)
    assert await letter(database, letter_id) == before


# ---------------------------------------------------------------- what operators do


async def test_redrive_waits_for_its_outcome(database: Database) -> None:
    letter_id = await dead_letter(database, sold(str(uuid4())))
    malformed = await dead_letter(database, sold(str(uuid4())), b"not json")
    done, is_known = await desk(database).redrive(letter_id)
    assert (done.status, is_known) == ("REDRIVEN", True)
    failed, is_known = await desk(database).redrive(malformed)
    assert (failed.status, failed.attempts, is_known) == ("FAILED_AGAIN", 1, True)
    again, is_known = await desk(database, handles=False).redrive(letter_id)
    assert (again, is_known) == (done, True)


async def test_wait_for_an_outcome_is_bounded(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redriving, "REDRIVE_SECONDS", 0.01)
    letter_id = await dead_letter(database, sold(str(uuid4())))
    stored, is_known = await desk(database, handles=False).redrive(letter_id)
    assert (stored.status, is_known) == ("OPEN", False)


async def test_letter_that_is_done_stays_as_it_is(database: Database) -> None:
    operators = desk(database)
    redriven = await dead_letter(database, sold(str(uuid4())))
    dismissed = await dead_letter(database, sold(str(uuid4())))
    await operators.redrive(redriven)
    await operators.dismiss(dismissed, "sent by hand")
    with pytest.raises(Conflict, match=f"dead letter {redriven} is REDRIVEN"):
        await operators.dismiss(redriven, "too late")
    with pytest.raises(Conflict, match=f"dead letter {dismissed} is DISMISSED"):
        await operators.redrive(dismissed)
    kept = await operators.dismiss(dismissed, "another reason")
    assert kept.dismiss_reason == "sent by hand"
    for unknown in (-1, 0, 999_999, 2**70):
        for attempt in (operators.redrive, operators.preview, partial(_dismiss, operators)):
            with pytest.raises(NotFound):
                await attempt(unknown)


async def _dismiss(operators: Redriving, letter_id: int) -> DeadLetter:
    return await operators.dismiss(letter_id, "unknown")


# ---------------------------------------------------------------- preview


async def test_preview_says_what_a_redrive_then_does(database: Database) -> None:
    event = sold(str(uuid4()))
    letter_id = await dead_letter(database, event)
    before = await counts(database)

    shown = await desk(database).preview(letter_id)

    assert shown.summary == (
        "would publish PaymentFailed and change payments: the order is unknown to payment"
    )
    [emitted] = shown.events
    assert (emitted.name, emitted.key) == ("PaymentFailed", event.order_id)
    assert emitted.body["reason"] == "WALLET_NOT_FOUND"
    [change] = shown.changes
    assert (change.rows, change.before, change.after["state"]) == ("payments", None, "FAILED")
    assert await counts(database) == before
    assert (await letter(database, letter_id)).status == "OPEN"
    await desk(database).redrive(letter_id)
    assert (await counts(database))["outbox"] == 1


async def test_preview_says_why_nothing_would_be_published(database: Database) -> None:
    order_id = str(uuid4())
    stale = await dead_letter(database, sold(order_id))
    known = await dead_letter(database, sold(str(uuid4())))
    timed_out = OrderTimedOut(
        order_id=order_id, customer_id=str(uuid4()), payment_method=PaymentMethod.WALLET
    )
    await run(database, received(timed_out))
    summaries = [(await desk(database).preview(stale)).summary]
    await desk(database).redrive(known)
    summaries.append((await desk(database).preview(known)).summary)
    assert summaries == [
        "would publish nothing: the order is FAILED",
        "would do nothing: the dead letter is REDRIVEN",
    ]


async def test_preview_of_an_event_that_was_handled_meanwhile(database: Database) -> None:
    event = sold(str(uuid4()))
    letter_id = await dead_letter(database, event)
    await run(database, received(event))  # retransmitted by its producer
    shown = await desk(database).preview(letter_id)
    assert shown.summary == "would do nothing: StockDecremented was handled already"


async def test_preview_names_external_calls_and_what_a_row_was(database: Database) -> None:
    order_id = str(uuid4())
    letter_id = await dead_letter(database, sold(order_id, PaymentMethod.CARD))
    shown = await desk(database).preview(letter_id)
    assert shown.calls == ["GatewayCall"]
    assert shown.summary == (
        "would publish nothing, change payments and begin GatewayCall: "
        "the order is unknown to payment"
    )
    await desk(database).redrive(letter_id)
    cancel = await dead_letter(database, OrderCancelRequested(order_id=order_id, attempt=1))
    assert (await desk(database).preview(cancel)).changes == []


async def test_preview_says_that_it_would_fail_again(database: Database) -> None:
    reactions = Reactions("payment", CONTRACT)

    @reactions.on
    def pay(event: StockDecremented, uow: Any) -> None:
        raise RuntimeError(f"no {event.payable_amount}")

    broken = Participant(
        reactions=reactions,
        load=participant.load,
        save=participant.save,
        schema=participant.schema,
        saga_rows=participant.saga_rows,
        unsettled=participant.unsettled,
    )
    raising = await dead_letter(database, sold(str(uuid4())))
    malformed = await dead_letter(database, sold(str(uuid4())), b"not json")
    operators = desk(database, of=broken)
    assert (await operators.preview(raising)).summary == "would fail again: RuntimeError: no 100"
    shown = await operators.preview(malformed)
    assert shown.summary.startswith("would fail again: StockDecremented: JSON is malformed")
    assert shown.error == (await letter(database, malformed)).error
