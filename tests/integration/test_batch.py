"""One transaction for a batch, with a savepoint for each message, on a real database."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import Connection, func, select

from chassis.participant import Participant
from chassis.processing.batch import Batch
from chassis.processing.messages import (
    CommandMessage,
    Declined,
    Done,
    EventMessage,
    IdempotencyKey,
    Message,
    Outcome,
    Raised,
)
from chassis.storage import tables
from chassis.storage.database import Database
from events.contract import CONTRACT, PaymentCompleted, PaymentFailed, StockDecremented
from payment import reactions as payment
from payment import store
from payment import tables as payment_tables
from payment.app import participant
from payment.commands import ChargeWallet, OpenWallet
from payment.domain import EntryKind, Wallet
from payment.unit_of_work import PaymentUnitOfWork
from saga import envelope
from saga.errors import KeyReused, NotFound
from saga.reactions import Reactions
from tests.integration.deliveries import Delivered

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
UNLUCKY = str(uuid4())


def claim(now: datetime) -> tuple[str, datetime]:
    return "test", now + timedelta(seconds=10)


async def run(
    database: Database,
    *messages: Message,
    of: Participant[PaymentUnitOfWork] = participant,
) -> list[Outcome]:
    return await database.run(lambda connection: Batch(of, claim, NOW).run(connection, messages))


async def count(database: Database, *names: str) -> list[int]:
    """The number of rows of each table."""
    known = {**tables.metadata.tables, **payment_tables.schema.tables}

    def counts(connection: Connection) -> list[int]:
        queries = [select(func.count()).select_from(known[name]) for name in names]
        return [connection.scalar(query) or 0 for query in queries]

    return await database.run(counts)


def sold(customer: str, amount: int = 1000) -> StockDecremented:
    return StockDecremented(
        order_id=str(uuid4()),
        customer_id=customer,
        items=(),
        total_amount=amount,
        discount_amount=0,
        payable_amount=amount,
    )


def received(event: StockDecremented) -> EventMessage:
    return EventMessage(Delivered(envelope.encode(event, NOW)), CONTRACT)


def call(command: object, key: IdempotencyKey | None = None) -> CommandMessage:
    return CommandMessage(command, asyncio.get_running_loop().create_future(), key)


async def rich(database: Database, balance: int = 10_000) -> str:
    customer = str(uuid4())
    await run(database, call(OpenWallet(customer_id=customer)))
    await run(database, call(ChargeWallet(customer_id=customer, amount=balance)))
    return customer


async def balance(database: Database, customer: str) -> int:
    query = select(payment_tables.wallets_table.c.balance).where(
        payment_tables.wallets_table.c.customer_id == customer
    )
    return await database.run(lambda connection: connection.scalar(query) or 0)


async def test_effect_ledger_inbox_and_outbox_are_written_together(database: Database) -> None:
    customer = await rich(database)
    [done] = await run(database, received(sold(customer)))
    assert isinstance(done, Done)
    assert [outbound.name for outbound in done.emitted] == ["PaymentCompleted"]
    assert await balance(database, customer) == 9_000
    assert await count(database, "inbox", "outbox", "payments", "wallet_ledger") == [1, 1, 1, 2]


async def test_nothing_is_kept_when_saving_fails(database: Database) -> None:
    def save_and_fail(connection: Connection, uow: PaymentUnitOfWork) -> None:
        store.save(connection, uow)
        raise RuntimeError("the power is gone")

    failing = Participant(
        reactions=payment.reactions,
        load=store.load,
        save=save_and_fail,
        schema=payment_tables.schema,
        saga_rows=payment_tables.payments_table,
        unsettled=frozenset(),
    )
    customer = await rich(database)
    with pytest.raises(RuntimeError, match="power"):
        await run(database, received(sold(customer)), of=failing)
    assert await balance(database, customer) == 10_000
    assert await count(database, "inbox", "outbox", "payments") == [0, 0, 0]


async def test_duplicate_event_acts_once_in_one_batch_and_in_two(database: Database) -> None:
    customer = await rich(database)
    event = sold(customer)
    first, second = await run(database, received(event), received(event))
    [third] = await run(database, received(event))
    assert [isinstance(each, Done) and each.replayed for each in (first, second, third)] == [
        False,
        True,
        True,
    ]
    assert await balance(database, customer) == 9_000
    assert await count(database, "inbox", "outbox") == [1, 1]


async def test_message_that_raises_is_rolled_back_alone(database: Database) -> None:
    customer = await rich(database)
    before, after = sold(customer), sold(customer)
    outcomes = await run(
        database,
        received(before),
        received(sold(UNLUCKY)),
        received(after),
        of=participant_that_trips(),
    )
    assert [type(each) for each in outcomes] == [Done, Raised, Done]
    assert await balance(database, customer) == 8_000
    assert await balance(database, UNLUCKY) == 0
    assert await count(database, "inbox", "outbox", "payments", "wallets") == [2, 2, 2, 1]


async def test_refused_command_is_rolled_back_alone(database: Database) -> None:
    customer = await rich(database)
    unknown = call(ChargeWallet(customer_id=str(uuid4()), amount=1))
    fine = call(ChargeWallet(customer_id=customer, amount=1))
    declined, done = await run(database, unknown, fine)
    assert isinstance(declined, Declined)
    assert isinstance(declined.error, NotFound)
    assert isinstance(done, Done)
    assert isinstance(done.result, Wallet)
    assert done.result.balance == 10_001


async def test_later_messages_of_a_batch_see_earlier_changes(database: Database) -> None:
    customer = await rich(database, balance=1_500)
    outcomes = await run(database, received(sold(customer)), received(sold(customer)))
    names = [each.emitted[0].name for each in outcomes if isinstance(each, Done)]
    assert names == [PaymentCompleted.__name__, PaymentFailed.__name__]
    assert await balance(database, customer) == 500


async def test_idempotency_key_replays_the_first_result(database: Database) -> None:
    customer = await rich(database, balance=1)
    key = IdempotencyKey("charge", "k1", "fingerprint")
    charge = ChargeWallet(customer_id=customer, amount=100)
    first, second = await run(database, call(charge, key), call(charge, key))
    [third] = await run(database, call(charge, key))
    for again in (second, third):
        assert isinstance(again, Done)
        assert isinstance(first, Done)
        assert again.replayed
        assert again.result == first.result
    assert await balance(database, customer) == 101


async def test_idempotency_key_belongs_to_one_request(database: Database) -> None:
    customer = await rich(database)
    charge = ChargeWallet(customer_id=customer, amount=100)
    await run(database, call(charge, IdempotencyKey("charge", "k1", "one")))
    reused, other_scope = await run(
        database,
        call(charge, IdempotencyKey("charge", "k1", "two")),
        call(charge, IdempotencyKey("elsewhere", "k1", "two")),
    )
    assert isinstance(reused, Declined)
    assert isinstance(reused.error, KeyReused)
    assert isinstance(other_scope, Done)
    assert await balance(database, customer) == 10_200


async def test_malformed_message_is_stored_once_with_its_reason(database: Database) -> None:
    broken = Delivered(envelope.encode(sold(UNLUCKY), NOW), body=b"not json")
    outcomes = await run(database, EventMessage(broken, CONTRACT), EventMessage(broken, CONTRACT))
    await run(database, EventMessage(broken, CONTRACT))
    assert all(isinstance(each, Done) for each in outcomes)
    assert await count(database, "dead_letters", "inbox", "payments") == [1, 0, 0]
    letter = await database.run(lambda db: db.execute(select(tables.dead_letters)).mappings().one())
    assert (letter["reason"], letter["body"]) == ("UNREADABLE", b"not json")
    assert "malformed" in letter["error"]


async def test_redriven_dead_letter_that_raises_again_is_not_marked(database: Database) -> None:
    letter_id = await dead_letter(database)
    delivery = Delivered(envelope.encode(sold(UNLUCKY), NOW))
    delivery.letter_id = letter_id
    message = EventMessage(delivery, CONTRACT)
    for of, state in ((participant_that_trips(), "OPEN"), (participant, "REDRIVEN")):
        await run(database, message, of=of)
        found = await database.run(
            lambda db: db.execute(select(tables.dead_letters.c.state)).scalar_one()
        )
        assert found == state


async def dead_letter(database: Database) -> int:
    """Store one. Returns its id."""
    broken = Delivered(envelope.encode(sold(UNLUCKY), NOW), body=b"not json")
    await run(database, EventMessage(broken, CONTRACT))
    ids = select(tables.dead_letters.c.id)
    return await database.run(lambda db: db.execute(ids).scalar_one())


def participant_that_trips() -> Participant[PaymentUnitOfWork]:
    """The payment service with a bug: it raises on one customer, after it has changed rows."""
    reactions = Reactions("payment", CONTRACT)

    @reactions.on
    def pay(
        event: StockDecremented, uow: PaymentUnitOfWork
    ) -> PaymentCompleted | PaymentFailed | None:
        if event.customer_id == UNLUCKY:
            uow.book(uow.open_wallet(UNLUCKY), EntryKind.CHARGE, 1)
            raise RuntimeError("tripped")
        return payment.pay(event, uow)

    return Participant(
        reactions=reactions,
        load=store.load,
        save=store.save,
        schema=payment_tables.schema,
        saga_rows=payment_tables.payments_table,
        unsettled=frozenset(),
    )
