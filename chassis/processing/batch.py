"""The one transaction of a batch: load, react, save, with inbox, outbox and idempotency keys.

Everything here is synchronous (`chassis/storage/database.py` says where it runs). All of a batch is
committed together or not at all; within it each message stands alone: one that raises or is refused
leaves no trace.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Generic, Protocol, TypeVar

import msgspec
from sqlalchemy import Connection, MetaData, Table, select

from chassis.processing import dead_letters
from chassis.processing.messages import (
    CommandMessage,
    Declined,
    Done,
    EventMessage,
    Message,
    Outcome,
    Raised,
)
from chassis.processing.timers import Timer
from chassis.storage import tables
from chassis.storage.mapping import Mapped
from chassis.storage.statements import Statement, among, inserting
from saga import envelope
from saga.errors import KeyReused, Refused
from saga.reactions import Reactions
from saga.unit_of_work import UnitOfWork

W = TypeVar("W", bound=UnitOfWork)
W_contra = TypeVar("W_contra", bound=UnitOfWork, contravariant=True)
W_co = TypeVar("W_co", bound=UnitOfWork, covariant=True)


class Load(Protocol[W_co]):
    """Read, and lock, the rows that these events and commands need."""

    def __call__(
        self, connection: Connection, messages: Sequence[object], now: datetime, /
    ) -> W_co: ...


class Save(Protocol[W_contra]):
    """Write what the reactions changed."""

    def __call__(self, connection: Connection, uow: W_contra, /) -> None: ...


class Participant(msgspec.Struct, Generic[W], frozen=True):
    """A service, as the chassis sees it.

    `order_rows` is the table with a row per order (`order_id`, `state`, `updated_at`), `unsettled`
    the states in which such a row still waits for somebody or owes an answer. `seed` are commands
    that put the first data of a new stack there; carried out again they change nothing. `timers`
    find what has become due.
    """

    reactions: Reactions
    load: Load[W]
    save: Save[W]
    schema: MetaData
    order_rows: Table
    unsettled: frozenset[str]
    seed: tuple[object, ...] = ()
    timers: tuple[Timer, ...] = ()

    @property
    def name(self) -> str:
        return self.reactions.service


class StoredResult(msgspec.Struct, frozen=True):
    """The first answer to an idempotent command."""

    scope: str
    key: str
    fingerprint: str
    answer: bytes
    created_at: datetime


_stored_results: Mapped[tuple[str, str], StoredResult] = Mapped(
    tables.idempotency_keys, StoredResult, "key", "scope"
)
_known = Statement(
    select(tables.inbox.c.event_id).where(among(tables.inbox.c.event_id, "event_ids")), "event_ids"
)
_receive = inserting(tables.inbox, ("event_id", "name", "key", "received_at"))
_say = inserting(
    tables.outbox, (*envelope.OutboundEvent.__struct_fields__, "claimed_by", "claimed_until")
)

Claim = Callable[[datetime], tuple[str, datetime]]
"""Who publishes a new outbox row, and until when nobody else does."""


class Batch(Generic[W]):
    """A batch at work. Made anew for each transaction; `run` gives an outcome per message.

    `uow` is what it changed, and `external_calls` the calls to the outside that it decided on, to
    be made once it is committed.
    """

    def __init__(self, participant: Participant[W], claim: Claim, now: datetime) -> None:
        self._participant = participant
        self._claim = claim
        self._now = now
        self._received: list[tuple[str, str, str, datetime]] = []
        self._emitted: list[envelope.OutboundEvent] = []
        self.uow: W

    @property
    def external_calls(self) -> list[object]:
        return list(self.uow.external_calls)

    def run(self, connection: Connection, messages: Sequence[Message]) -> list[Outcome]:
        seen = _already_in_inbox(connection, messages)
        contents = [content for m in messages if (content := _work(m, seen)) is not None]
        self.uow = self._participant.load(connection, contents, self._now)
        self._answers = _stored_results.load(connection, "key", _keys(messages))
        outcomes = [self._one(message, seen) for message in messages]
        self._participant.save(connection, self.uow)
        self._save_own(connection, messages)
        return outcomes

    def _one(self, message: Message, seen: set[str]) -> Outcome:
        try:
            done = (
                self._hear(message, seen)
                if isinstance(message, EventMessage)
                else self._obey(message)
            )
        except Refused as error:
            self._undo()
            return Declined(error) if isinstance(message, CommandMessage) else Raised(error)
        except Exception as error:  # noqa: BLE001 - whatever business code raises is one message's
            self._undo()
            return Raised(error)
        self.uow.release()
        self._answers.release()
        self._emitted += done.emitted
        return done

    def _undo(self) -> None:
        self.uow.roll_back()
        self._answers.roll_back()

    def _hear(self, message: EventMessage, seen: set[str]) -> Done:
        inbound = message.inbound
        if inbound is None or message.dead_letter_reason is not None:
            return Done()  # stored as a dead letter, with the batch
        if inbound.event_id in seen:
            return Done(replayed=True)
        emitted = self._participant.reactions.react(inbound.event, self.uow)
        outbound = tuple(
            envelope.encode(
                event,
                self._now,
                cause_id=inbound.event_id,
                # What is said of another order belongs to that one's trace.
                parent_trace=inbound.traceparent if event.key == inbound.event.key else None,
            )
            for event in emitted
        )
        seen.add(inbound.event_id)
        self._received.append((inbound.event_id, inbound.name, inbound.event.key, self._now))
        return Done(emitted=outbound)

    def _obey(self, call: CommandMessage) -> Done:
        asked = call.idempotency
        if asked is not None:
            known = self._answers.get((asked.key, asked.scope))
            if known is not None:
                return self._replay(call, known)
        answer = self._participant.reactions.execute(call.command, self.uow)
        if asked is not None:
            kept = msgspec.json.encode(answer.value)
            self._answers[asked.key, asked.scope] = StoredResult(
                asked.scope, asked.key, asked.fingerprint, kept, self._now
            )
        outbound = tuple(
            envelope.encode(event, self._now, cause_id=answer.cause_id, parent_trace=call.trace)
            for event in answer.events
        )
        return Done(answer=answer.value, emitted=outbound)

    def _replay(self, call: CommandMessage, known: StoredResult) -> Done:
        assert call.idempotency is not None
        if call.idempotency.fingerprint != known.fingerprint:
            raise KeyReused(
                "this Idempotency-Key was used for another request; send a new key with a new one"
            )
        result_type = self._participant.reactions.result_type(call.command)
        return Done(answer=msgspec.json.decode(known.answer, type=result_type), replayed=True)

    def _save_own(self, connection: Connection, messages: Sequence[Message]) -> None:
        _stored_results.save(connection, self._answers)
        _receive.run(connection, self._received)
        if self._emitted:
            claim = self._claim(self._now)
            _say.run(connection, (msgspec.structs.astuple(each) + claim for each in self._emitted))
        dead_lettered = [
            m for m in messages if isinstance(m, EventMessage) and m.dead_letter_reason is not None
        ]
        if dead_lettered:
            dead_letters.store(connection, dead_lettered, self._now)


def _already_in_inbox(connection: Connection, messages: Sequence[Message]) -> set[str]:
    ids = [m.inbound.event_id for m in messages if isinstance(m, EventMessage) and m.inbound]
    return {event_id for (event_id,) in _known.rows(connection, ids)} if ids else set()


def _work(message: Message, seen: set[str]) -> object:
    """What there is to do for a message: None for a repeat and for one that is set aside."""
    if isinstance(message, EventMessage) and message.inbound and message.inbound.event_id in seen:
        return None
    return message.content


def _keys(messages: Sequence[Message]) -> list[str]:
    return sorted(
        {m.idempotency.key for m in messages if isinstance(m, CommandMessage) and m.idempotency}
    )
