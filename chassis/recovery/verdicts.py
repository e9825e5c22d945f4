"""A decision that contradicts a published one is refused: others have acted on that one."""

from collections.abc import Iterable, Sequence

import msgspec
from sqlalchemy import Connection, select

from chassis.participant import U
from chassis.processing.batch import Batch
from chassis.processing.messages import Done, EventMessage, Message, Outcome
from chassis.recovery import findings
from chassis.recovery.findings import Finding, Kind
from chassis.storage.statements import Statement, among
from chassis.storage.tables import outbox
from saga.envelope import OutboundEvent
from saga.event import Contract, Event

_of_keys = Statement(
    select(outbox.c.event_id, outbox.c.name, outbox.c.body).where(
        among(outbox.c.key, "keys"), outbox.c.published_at.is_not(None)
    )
)


def contradicted(
    contract: Contract, outbound: OutboundEvent, published: Iterable[tuple[str, str, bytes]]
) -> str | None:
    """The name of the published event that this one contradicts. `published`: id, name and body."""
    decision = _decoded(contract, outbound.name, outbound.body).decision
    for event_id, name, body in published:
        if decision is None or event_id == outbound.event_id:
            continue
        if _decoded(contract, name, body).decision == decision:
            return name
    return None


def refused(outbound: OutboundEvent, name: str) -> Finding:
    return Finding(
        kind=Kind.REFUSED,
        event_id=outbound.event_id,
        name=outbound.name,
        key=outbound.key,
        what=f"{outbound.name} contradicts {name}, which is published: it is never published",
    )


class RecoveringBatch(Batch[U]):
    """A batch of the replay. It emits nothing that is published already or contradicts that."""

    def run(self, connection: Connection, messages: Sequence[Message]) -> list[Outcome]:
        self._connection = connection
        self._findings: list[Finding] = []
        outcomes = super().run(connection, messages)
        findings.add(connection, self._findings, self.now)
        return outcomes

    def _react(self, message: EventMessage, seen: set[str]) -> Done:
        done = super()._react(message, seen)
        kept: list[OutboundEvent] = []
        for outbound in done.emitted:
            published = _of_keys.fetch(self._connection, keys=[outbound.key])
            name = contradicted(self.reactions.contract, outbound, published)
            if name is not None:
                self.uow.roll_back()  # the rows stay as they were adopted
                self._findings.append(refused(outbound, name))
                return Done()
            if all(event_id != outbound.event_id for event_id, _, _ in published):
                kept.append(outbound)
        return Done(emitted=tuple(kept))


def _decoded(contract: Contract, name: str, body: bytes) -> Event:
    event_type = contract.named(name)
    assert event_type is not None, f"the outbox has {name}, which is no event of the contract"
    return msgspec.json.decode(body, type=event_type)
