"""Events read back from a stream."""

import logging
from datetime import datetime

from chassis.ports import Broker, StoredMessage
from saga import envelope
from saga.envelope import InboundEvent, MalformedMessage
from saga.event import Contract, Stream

log = logging.getLogger(__name__)

Stored = tuple[InboundEvent, StoredMessage]


def decoded(contract: Contract, message: StoredMessage) -> InboundEvent | None:
    """The event in a message; None for one that is none, which is logged."""
    try:
        return envelope.decode(contract, message.subject, message.body, message.headers)
    except MalformedMessage as error:
        place = {"subject": message.subject, "sequence": message.sequence}
        log.warning("a stored message is no event", extra=place | {"reason": str(error)})
        return None


async def events_of(broker: Broker, contract: Contract, stream: Stream, key: str) -> list[Stored]:
    """Everything that the stream holds about one saga or entity, in order. Raises BrokerAway."""
    found: list[Stored] = []
    after = 0
    while page := await broker.read([stream.subjects_of(key)], after):
        found += [(each, m) for m in page if (each := decoded(contract, m)) is not None]
        after = page[-1].sequence
    return found


def time_of(message: StoredMessage) -> datetime | None:
    """When the event was committed; None without a readable header."""
    try:
        return datetime.fromisoformat(message.headers.get(envelope.TIME, ""))
    except ValueError:
        return None
