"""The one transaction of a batch: load, react, save, with inbox, outbox and idempotency keys.

Everything here is synchronous (`chassis/storage/database.py` says where it runs). All of a batch is
committed together or not at all; within it each message stands alone: one that raises or is refused
is rolled back to its savepoint.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Generic

import msgspec
from sqlalchemy import Connection, select

from chassis import audit_log
from chassis.actions import ActionOutcome, AuditEntry
from chassis.participant import Participant, U
from chassis.processing import dead_letters, erasure
from chassis.processing.dead_letters import Redelivery
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
from chassis.storage.mapping import Mapped
from chassis.storage.statements import Statement, among, inserting
from saga import envelope
from saga.envelope import OutboundEvent
from saga.errors import KeyReused, Refused


class StoredResult(msgspec.Struct, frozen=True):
    """The first result of an idempotent command, as JSON."""

    scope: str
    key: str
    fingerprint: str
    answer: bytes
    created_at: datetime


_stored_results: Mapped[tuple[str, str], StoredResult] = Mapped(
    tables.idempotency_keys, StoredResult, "key", "scope"
)
_in_inbox = Statement(
    select(tables.inbox.c.event_id).where(among(tables.inbox.c.event_id, "event_ids"))
)
_add_to_inbox = inserting(tables.inbox, ("event_id", "name", "key", "received_at"))
_add_to_outbox = inserting(
    tables.outbox, (*OutboundEvent.__struct_fields__, "claimed_by", "claimed_until")
)

Claim = Callable[[datetime], tuple[str, datetime]]
"""The instance that publishes a new outbox row, and until when no other one does."""


class Batch(Generic[U]):
    """A batch in one transaction; `run` returns an outcome for each message.

    `uow` is the unit of work, with what changed and the external calls to make after the commit.
    """

    def __init__(self, participant: Participant[U], claim: Claim, now: datetime) -> None:
        self._participant = participant
        self.reactions = participant.reactions
        self._claim = claim
        self.now = now
        self._received: list[dict[str, str]] = []
        self._emitted: list[OutboundEvent] = []
        self._redrivable: set[int] = set()
        self._redriven: list[int] = []
        self._actions: list[AuditEntry] = []
        self.uow: U

    def run(self, connection: Connection, messages: Sequence[Message]) -> list[Outcome]:
        """Load, react to one message after the other, and save."""
        letter_ids = [m.delivery.letter_id for m in messages if isinstance(m, EventMessage)]
        self._redrivable = dead_letters.lock_not_done(connection, letter_ids)
        seen = _already_in_inbox(connection, messages)
        contents = [content for m in messages if (content := _content(m, seen)) is not None]
        self.uow = self._participant.load(connection, contents, self.now)
        self._results = _stored_results.load(connection, "key", _keys(messages))
        outcomes = [self._handle(message, seen) for message in messages]
        self._participant.save(connection, self.uow)
        erased = {each.key for each in self.uow.erased}
        self._save_own(connection, messages)
        erasure.erase(connection, self.reactions.contract, erased)
        return [self._without_erased(each, erased) for each in outcomes] if erased else outcomes

    def _without_erased(self, outcome: Outcome, erased: set[str]) -> Outcome:
        """What was emitted before its person was erased in the same batch is not published."""
        if not isinstance(outcome, Done):
            return outcome
        kept = erasure.without_erased(outcome.emitted, self.reactions.contract, erased)
        return msgspec.structs.replace(outcome, emitted=kept)

    def _handle(self, message: Message, seen: set[str]) -> Outcome:
        """Handle a message behind a savepoint."""
        try:
            if isinstance(message, EventMessage):
                done = self._react(message, seen)
            else:
                done = self._execute(message)
        except Refused as error:
            self._roll_back()
            return Declined(error) if isinstance(message, CommandMessage) else Raised(error)
        except Exception as error:  # noqa: BLE001 - business code that raises concerns one message
            self._roll_back()
            return Raised(error)
        self.uow.release()
        self._results.release()
        self._emitted += done.emitted
        if isinstance(message, EventMessage) and message.dead_letter_reason is None:
            self._redriven += self._redrivable & {message.delivery.letter_id}
            self._redrivable.discard(message.delivery.letter_id)
        return done

    def _roll_back(self) -> None:
        self.uow.roll_back()
        self._results.roll_back()

    def _react(self, message: EventMessage, seen: set[str]) -> Done:
        inbound = message.inbound
        if inbound is None or message.dead_letter_reason is not None:
            return Done()  # stored as a dead letter, with the batch
        letter_id = message.delivery.letter_id
        if letter_id is not None and letter_id not in self._redrivable:
            return Done(replayed=True)  # it was redriven or dismissed meanwhile
        if inbound.event_id in seen:
            return Done(replayed=True)
        events = self.reactions.react(inbound.event, self.uow)
        emitted = tuple(
            envelope.encode(
                event,
                self.now,
                cause_id=inbound.event_id,
                # An event about another saga belongs to that one's trace.
                parent_trace=inbound.traceparent if event.key == inbound.event.key else None,
            )
            for event in events
        )
        seen.add(inbound.event_id)
        self._received.append(
            {"event_id": inbound.event_id, "name": inbound.name, "key": inbound.event.key}
        )
        return Done(emitted=emitted)

    def _execute(self, message: CommandMessage) -> Done:
        idempotency = message.idempotency
        if idempotency is not None:
            stored = self._results.get((idempotency.key, idempotency.scope))
            if stored is not None:
                return self._replay(message, idempotency, stored)
        result = self.reactions.execute(message.command, self.uow)
        if idempotency is not None:
            self._results[idempotency.key, idempotency.scope] = StoredResult(
                idempotency.scope,
                idempotency.key,
                idempotency.fingerprint,
                msgspec.json.encode(result.value),
                self.now,
            )
        emitted = tuple(
            envelope.encode(event, self.now, cause_id=result.cause_id, parent_trace=message.trace)
            for event in result.events
        )
        if message.action is not None and (emitted or self.uow.open_changes):
            entry = message.action.executed(message.command, result.value, self.now)
            self._actions += [entry] if entry else []
        return Done(result=result.value, emitted=emitted)

    def _replay(
        self, message: CommandMessage, idempotency: IdempotencyKey, stored: StoredResult
    ) -> Done:
        """The first result again. Raises KeyReused when the request is another one."""
        if idempotency.fingerprint != stored.fingerprint:
            raise KeyReused(
                "this Idempotency-Key was used for another request; send a new key with a new one"
            )
        result_type = self.reactions.result_type(message.command)
        return Done(result=msgspec.json.decode(stored.answer, type=result_type), replayed=True)

    def _save_own(self, connection: Connection, messages: Sequence[Message]) -> None:
        """Write what the chassis keeps beside the participant's rows."""
        _stored_results.save(connection, self._results)
        _add_to_inbox.execute_many(connection, self._received, received_at=self.now)
        claimed_by, claimed_until = self._claim(self.now)
        _add_to_outbox.execute_many(
            connection, self._emitted, claimed_by=claimed_by, claimed_until=claimed_until
        )
        letters = [m for m in messages if isinstance(m, EventMessage) and m.dead_letter_reason]
        if letters:
            dead_letters.store(connection, letters, self.now)
        if self._redriven:
            dead_letters.mark_redriven(connection, self._redriven, self.now)
        if letters or self._redriven:
            self._actions += self._redrives(messages)
        audit_log.append(connection, self._actions)

    def _redrives(self, messages: Sequence[Message]) -> Iterator[AuditEntry]:
        """The entries of the dead letters that operators redrive, each with its outcome."""
        for message in messages:
            if not isinstance(message, EventMessage):
                continue
            letter = message.delivery
            if not isinstance(letter, Redelivery) or letter.action is None:
                continue
            if letter.letter_id in self._redriven:
                yield letter.action.entry(ActionOutcome.DONE, self.now)
            elif message.dead_letter_reason is not None:
                yield letter.action.entry(ActionOutcome.FAILED, self.now, "FAILED_AGAIN")


def _already_in_inbox(connection: Connection, messages: Sequence[Message]) -> set[str]:
    ids = [m.inbound.event_id for m in messages if isinstance(m, EventMessage) and m.inbound]
    return (
        {event_id for (event_id,) in _in_inbox.fetch(connection, event_ids=ids)} if ids else set()
    )


def _content(message: Message, seen: set[str]) -> object:
    """What there is to handle: None for a duplicate and for a dead letter."""
    if isinstance(message, EventMessage) and message.inbound and message.inbound.event_id in seen:
        return None
    return message.content


def _keys(messages: Sequence[Message]) -> list[str]:
    return sorted(
        {m.idempotency.key for m in messages if isinstance(m, CommandMessage) and m.idempotency}
    )
