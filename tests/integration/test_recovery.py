"""Recovery of a restored database: what is adopted, what is refused, and what is only listed."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from sqlalchemy import Connection, insert, select

from chassis.ports import StoredMessage
from chassis.processing.batch import Batch
from chassis.processing.messages import Done, EventMessage
from chassis.recovery import findings
from chassis.recovery.adoption import Adopter
from chassis.recovery.findings import Finding, Kind
from chassis.recovery.verdicts import RecoveringBatch
from chassis.recovery.verification import Verification
from chassis.storage import tables
from chassis.storage.database import Database
from events.contract import (
    CONTRACT,
    FailReason,
    OrderTimedOut,
    PaymentCompleted,
    PaymentFailed,
    PaymentMethod,
    PaymentRefunded,
    StockDecremented,
)
from payment import store
from payment.app import participant
from payment.domain import PaymentState, payment_id
from payment.tables import schema
from saga import envelope
from saga.errors import ConfigurationError, Outage
from saga.event import Event
from tests.integration.deliveries import Delivered
from tests.kit.postgres import create_database, program, running_postgres

THEN = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
NOW = THEN + timedelta(hours=1)


class Stream:
    """A broker whose stream holds these events; only reading is needed of it."""

    def __init__(self) -> None:
        self.messages: list[StoredMessage] = []

    def publish(self, *events: Event, cause: Event | None = None, again: str | None = None) -> None:
        cause_id = envelope.event_id(cause) if cause else None
        for event in events:
            outbound = envelope.encode(event, THEN, cause_id=cause_id)
            header = envelope.headers(outbound, "payment", retransmission=again)
            sequence = len(self.messages) + 1
            self.messages.append(StoredMessage(outbound.subject, outbound.body, header, sequence))

    async def last(self, subject: str) -> StoredMessage | None:
        found = (each for each in reversed(self.messages) if _matches(each.subject, subject))
        return next(found, None)

    async def read(self, subjects: Sequence[str], after: int) -> list[StoredMessage]:
        await asyncio.sleep(0)  # others go on meanwhile
        found = [
            message
            for message in self.messages[after:]
            if any(_matches(message.subject, subject) for subject in subjects)
        ]
        return found[:2]  # several pages


def _matches(subject: str, pattern: str) -> bool:
    start, rest, _ = pattern.partition(">")
    pairs = zip(subject.split("."), start.split("."), strict=not rest)
    return all(wanted in ("*", "", token) for token, wanted in pairs)


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with running_postgres() as server:
        yield create_database(server, "recovery")


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    if request.param == "postgresql" and program("initdb") is None:
        pytest.skip("PostgreSQL is not installed (make postgres)")
    sqlite = f"sqlite+aiosqlite:///{tmp_path}/payment.db"
    url = sqlite if request.param == "sqlite" else request.getfixturevalue("postgres")
    database = Database(url)
    await database.create(tables.metadata, schema)
    await database.run(empty)
    yield database
    await database.close()


def empty(connection: Connection) -> None:
    for table in (*tables.metadata.sorted_tables, *schema.sorted_tables):
        connection.execute(table.delete())


@pytest.fixture
def stream() -> Stream:
    return Stream()


def adopter(database: Database, stream: Any) -> Adopter:
    return Adopter(participant, database, stream, lambda: NOW)


def verification(database: Database, stream: Any) -> Verification:
    return Verification(
        participant, database, stream, lambda: NOW, retention_seconds=86_400, kept=timedelta(days=1)
    )


def payable(order_id: str, customer: str, amount: int = 700) -> StockDecremented:
    return StockDecremented(
        order_id=order_id,
        customer_id=customer,
        items=(),
        total_amount=amount,
        discount_amount=0,
        payable_amount=amount,
    )


def paid(event: StockDecremented) -> PaymentCompleted:
    return PaymentCompleted(
        order_id=event.order_id,
        payment_id=payment_id(event.order_id),
        customer_id=event.customer_id,
        method=PaymentMethod.WALLET,
        amount=event.payable_amount,
        discount_amount=0,
    )


async def found(database: Database) -> list[Finding]:
    async with database.reading() as connection:
        return await findings.listed(connection)


async def outbox(database: Database) -> dict[str, int | None]:
    """The sequence of each event, by its name."""
    columns = tables.outbox.c
    async with database.reading() as connection:
        rows = await connection.execute(select(columns.name, columns.stream_sequence))
        return {row.name: row.stream_sequence for row in rows}


async def state(database: Database, order_id: str) -> PaymentState | None:
    async with database.reading() as connection:
        payment = await store.find_payment_of(connection, order_id)
    return payment.state if payment else None


async def replay(database: Database, event: Event) -> Done:
    """Handle an event in recovery mode."""
    message = EventMessage(Delivered(envelope.encode(event, NOW)), CONTRACT)
    batch = RecoveringBatch(participant, lambda _: ("me", NOW), NOW)
    [outcome] = await database.run(lambda connection: batch.run(connection, [message]))
    assert isinstance(outcome, Done), outcome
    return outcome


async def test_published_payment_is_adopted_although_the_wallet_is_short(
    database: Database, stream: Stream
) -> None:
    event = payable(str(uuid4()), str(uuid4()))
    stream.publish(event)
    stream.publish(paid(event), cause=event)
    stream.publish(paid(event), cause=event, again="retransmitted")
    await adopter(database, stream).adopt_all()
    assert await state(database, event.order_id) is PaymentState.CAPTURED
    async with database.reading() as connection:
        wallet = await store.find_wallet(connection, event.customer_id)
    assert wallet is not None
    assert (wallet.balance, wallet.updated_at) == (-700, THEN)
    assert await outbox(database) == {"PaymentCompleted": 2}
    async with database.reading() as connection:
        published_at = await connection.scalar(select(tables.outbox.c.published_at))
    assert published_at == THEN, "else it passes for deleted once the stream has removed it"
    [short] = await found(database)
    assert (short.kind, short.key) == (Kind.SHORT, event.order_id)
    assert short.what.endswith("is short by 700 KRW or more")
    assert await replay(database, event) == Done()


async def test_adopting_twice_changes_nothing(database: Database, stream: Stream) -> None:
    event = payable(str(uuid4()), str(uuid4()))
    stream.publish(paid(event), cause=event)
    for _ in range(2):
        await adopter(database, stream).adopt_all()
    async with database.reading() as connection:
        _, entries = await store.entries(connection, event.customer_id, offset=0, size=9)
        last = await findings.last_recovery(connection)
    assert entries == 1
    assert last is not None
    assert (last.adopted, last.released_at) == (1, None)


async def test_two_instances_adopt_an_event_once(database: Database, stream: Stream) -> None:
    bought = [payable(str(uuid4()), str(uuid4())) for _ in range(6)]
    stream.publish(*map(paid, bought))
    await asyncio.gather(*(adopter(database, stream).adopt_all() for _ in range(2)))
    async with database.reading() as connection:
        for event in bought:
            _, entries = await store.entries(connection, event.customer_id, offset=0, size=9)
            assert entries == 1
        last = await findings.last_recovery(connection)
    assert last is not None
    assert last.adopted == 6


async def test_row_that_the_backup_had_not_published_is_marked(
    database: Database, stream: Stream
) -> None:
    event = payable(str(uuid4()), str(uuid4()))
    message = EventMessage(Delivered(envelope.encode(event, NOW)), CONTRACT)
    batch = Batch(participant, lambda _: ("me", NOW), NOW)
    await database.run(lambda connection: batch.run(connection, [message]))
    assert await outbox(database) == {"PaymentFailed": None}
    failed = PaymentFailed(order_id=event.order_id, reason=FailReason.WALLET_NOT_FOUND)
    stream.publish(event, failed)
    await adopter(database, stream).adopt_all()
    assert await outbox(database) == {"PaymentFailed": 2}
    assert await found(database) == []


async def test_row_that_was_published_again_gets_its_new_place(
    database: Database, stream: Stream
) -> None:
    """The broker had lost its store after the backup."""
    event, other = (payable(str(uuid4()), str(uuid4())) for _ in range(2))
    stream.publish(paid(event))
    await adopter(database, stream).adopt_all()
    stream.messages.clear()
    stream.publish(other, paid(event))
    await adopter(database, stream).adopt_all()
    assert await outbox(database) == {"PaymentCompleted": 2}


async def test_event_before_the_one_that_it_needs_is_adopted_after_it(
    database: Database, stream: Stream
) -> None:
    """After a loss of the broker's store events were published again, in any order."""
    event = payable(str(uuid4()), str(uuid4()))
    refunded = PaymentRefunded(
        order_id=event.order_id, payment_id=payment_id(event.order_id), amount=700, attempt=1
    )
    stream.publish(refunded, *(paid(payable(str(uuid4()), str(uuid4()))) for _ in range(3)))
    stream.publish(paid(event))
    await adopter(database, stream).adopt_all()
    async with database.reading() as connection:
        payment = await store.find_payment_of(connection, event.order_id)
    assert payment is not None
    assert payment.state is PaymentState.REFUNDED
    assert (payment.paid_at, payment.refunded_at) == (THEN, THEN)
    assert {each.kind for each in await found(database)} == {Kind.SHORT}


async def test_failed_payment_is_adopted_with_the_customer_of_its_cause(
    database: Database, stream: Stream
) -> None:
    event = payable(str(uuid4()), str(uuid4()))
    failed = PaymentFailed(order_id=event.order_id, reason=FailReason.INSUFFICIENT_BALANCE)
    stream.publish(event)
    stream.publish(failed, cause=event)
    await adopter(database, stream).adopt_all()
    async with database.reading() as connection:
        payment = await store.find_payment_of(connection, event.order_id)
    assert payment is not None
    assert (payment.state, payment.customer_id) == (PaymentState.FAILED, event.customer_id)
    assert payment.fail_reason is FailReason.INSUFFICIENT_BALANCE


async def test_event_that_no_rule_can_adopt_is_listed_and_never_contradicted(
    database: Database, stream: Stream
) -> None:
    """The cause has expired in the stream, so the customer of the failed payment is unknown."""
    event = payable(str(uuid4()), str(uuid4()), amount=0)
    failed = PaymentFailed(order_id=event.order_id, reason=FailReason.PG_DECLINED)
    stream.publish(failed, cause=event)
    refunded = PaymentRefunded(order_id=str(uuid4()), payment_id=str(uuid4()), amount=1, attempt=1)
    stream.publish(refunded)
    await adopter(database, stream).adopt_all()
    assert {each.kind for each in await found(database)} == {Kind.NOT_ADOPTED}
    assert {each.key for each in await found(database)} == {event.order_id, refunded.order_id}

    free = payable(event.order_id, event.customer_id, amount=0)
    card = StockDecremented(**{**_fields(free), "payment_method": PaymentMethod.CARD})
    assert await replay(database, card) == Done()  # it would have been paid: PaymentCompleted

    assert await state(database, event.order_id) is None
    refused = [each for each in await found(database) if each.kind is Kind.REFUSED]
    assert [each.name for each in refused] == ["PaymentCompleted"]
    assert "PaymentCompleted" not in await outbox(database)


async def test_replay_emits_nothing_that_is_published(database: Database, stream: Stream) -> None:
    """No rule could adopt it, and the replay comes to the same decision."""
    timed_out = OrderTimedOut(
        order_id=str(uuid4()), customer_id=str(uuid4()), payment_method=PaymentMethod.WALLET
    )
    reason = FailReason.ORDER_TIMED_OUT
    stream.publish(PaymentFailed(order_id=timed_out.order_id, reason=reason))
    await adopter(database, stream).adopt_all()
    assert [each.kind for each in await found(database)] == [Kind.NOT_ADOPTED]
    assert await replay(database, timed_out) == Done()
    assert await state(database, timed_out.order_id) is PaymentState.FAILED
    assert await outbox(database) == {"PaymentFailed": 1}


async def test_release_refuses_what_contradicts_the_stream(
    database: Database, stream: Stream
) -> None:
    """Another instance decided while this one was in recovery mode."""
    event = payable(str(uuid4()), str(uuid4()))
    other = payable(str(uuid4()), str(uuid4()))
    recovering = adopter(database, stream)
    await recovering.adopt_all()
    for each in (event, other):
        timed_out = OrderTimedOut(
            order_id=each.order_id,
            customer_id=each.customer_id,
            payment_method=PaymentMethod.WALLET,
        )
        assert [e.name for e in (await replay(database, timed_out)).emitted] == ["PaymentFailed"]
    stream.publish(paid(event), cause=event)
    outbound = envelope.encode(paid(event), NOW)
    published = {"claimed_by": "other", "claimed_until": NOW, "published_at": NOW}
    row = msgspec.structs.asdict(outbound) | published | {"stream_sequence": 1}
    await database.run(lambda connection: connection.execute(insert(tables.outbox), row))
    await verification(database, stream).verify()
    [refused] = await found(database)
    assert (refused.kind, refused.key, refused.name) == (
        Kind.REFUSED,
        event.order_id,
        "PaymentFailed",
    )
    async with database.reading() as connection:
        kept = list(await connection.scalars(select(tables.outbox.c.key)))
        last = await findings.last_recovery(connection)
    assert sorted(kept) == sorted([other.order_id, event.order_id])
    assert last is not None
    assert last.released_at == NOW


async def test_database_that_is_older_than_its_events_is_refused(
    database: Database, stream: Stream
) -> None:
    """An operator restored it and forgot recovery mode: it would decide a second time."""
    event = payable(str(uuid4()), str(uuid4()))
    stream.publish(event)
    started = verification(database, stream)
    await started.verify()
    stream.publish(paid(event), cause=event)
    with pytest.raises(Outage, match="which this database lacks"):
        await started.verify()
    with pytest.raises(ConfigurationError, match="Start it in recovery mode"):
        await started.watch()
    recovering = adopter(database, stream)
    await recovering.adopt_all()
    await verification(database, stream).verify()


async def test_start_without_a_recovery_asks_the_stream_nothing(database: Database) -> None:
    await verification(database, Stream()).verify()


def _fields(event: Event) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__struct_fields__}
