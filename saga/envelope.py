"""How an event looks on the wire: its subject, its id, its headers, and its JSON as the body.

Headers follow the CloudEvents binding for NATS (binary mode) with the causation extension, and W3C
Trace Context. All of it is derived from the event and its cause, so the same decision made twice
gives the same message.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache

import msgspec

from events.contract import EVENTS, SUBJECT_PREFIX, Event
from saga import ids

_TRACE = re.compile(r"[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_encode = msgspec.json.Encoder().encode

MESSAGE_ID = "Nats-Msg-Id"
EVENT_ID = "ce-id"
EVENT_TYPE = "ce-type"
SOURCE = "ce-source"
TIME = "ce-time"
CAUSE = "ce-causationid"
TRACE = "traceparent"
COPIED_FROM = "Nats-Stream"
"""The broker marks with it what it reads out of a stream for a client. A client chooses where the
answer goes, so a service could have its own event delivered under the name of another's."""


class MalformedMessage(Exception):
    """A message that is no event of the contract. Trying again can't help: it is set aside."""


class OutboundEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event ready to go out, as the outbox keeps it.

    `cause_id` is the id of the event that made its owner decide so; None for the first of a chain.
    """

    event_id: str
    name: str
    key: str
    stream: str
    subject: str
    body: bytes
    cause_id: str | None
    traceparent: str
    created_at: datetime


class InboundEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that came in. `message_id` is the broker's id of this message."""

    event_id: str
    event: Event
    traceparent: str
    message_id: str

    @property
    def is_retransmission(self) -> bool:
        """It was said again, by somebody who misses an answer."""
        return self.message_id != self.event_id

    @property
    def name(self) -> str:
        return type(self.event).__name__


def event_id(event: Event) -> str:
    """The id of a decision: the same for the same decision, however often it is made.

    It follows from the event's name, key and occurrence, and begins as the key does.
    """
    return id_of(type(event), event.key, event.occurrence)


def id_of(event_type: type[Event], key: str, occurrence: int = 0) -> str:
    """The id that an event has or will have."""
    return ids.derived(key, f"{event_type.__name__}/{occurrence}")


def subject_of(event_type: type[Event], key: str = "*") -> str:
    """`saga.<orderId>.<EventName>`; without a key the filter for all of them."""
    return f"{SUBJECT_PREFIX[event_type.stream]}.{key}.{event_type.__name__}"


def traceparent(key: str, span_source: str, parent: str | None = None) -> str:
    """A W3C trace context: the trace goes on from `parent`, or starts anew from the key.

    `key` and `span_source` are UUIDs: a trace id has as many bits as a UUID, a span id half (the
    last ones, for what belongs to an order begins alike). A parent that is no trace context is
    passed over, as the recommendation asks.
    """
    known = parent is not None and _TRACE.match(parent)
    trace_id = parent[3:35] if parent and known else key.replace("-", "")
    return f"00-{trace_id}-{span_source.replace('-', '')[-16:]}-01"


def encode(
    event: Event, time: datetime, *, cause_id: str | None = None, parent_trace: str | None = None
) -> OutboundEvent:
    """Make a decision ready to go out. Its trace goes on from the parent, where there is one."""
    identity = event_id(event)
    return OutboundEvent(
        event_id=identity,
        name=type(event).__name__,
        key=event.key,
        stream=event.stream,
        subject=subject_of(type(event), event.key),
        body=_encode(event),
        cause_id=cause_id,
        traceparent=traceparent(event.key, identity, parent_trace),
        created_at=time,
    )


def headers(outbound: OutboundEvent, source: str, *, repeat: str | None = None) -> dict[str, str]:
    """The message's headers: CloudEvents attributes, cause, trace, and the broker's message id.

    With `repeat`, which tells it from other times, an event is said again: to the broker it is a
    new message, to every inbox the same event.
    """
    result = {
        MESSAGE_ID: f"{outbound.event_id}/{repeat}" if repeat else outbound.event_id,
        EVENT_ID: outbound.event_id,
        "ce-specversion": "1.0",
        EVENT_TYPE: outbound.name,
        SOURCE: source,
        "ce-subject": outbound.key,
        TIME: rfc3339(outbound.created_at),
        TRACE: outbound.traceparent,
    }
    if outbound.cause_id is not None:
        result[CAUSE] = outbound.cause_id
    return result


def decode(subject: str, body: bytes, header: Mapping[str, str] | None) -> InboundEvent:
    """Read a message. The headers are a courtesy: all that matters stands in subject and body.

    Raises Unreadable, with a sentence that says what is wrong, when it is no event of the contract.
    """
    header = header or {}
    name = subject.rpartition(".")[2]
    if COPIED_FROM in header:
        raise MalformedMessage("a stored message that was sent on to this subject, not an event")
    said_type = header.get(EVENT_TYPE, name)
    if said_type not in EVENTS:
        raise MalformedMessage(f"unknown event type {said_type!r}")
    if said_type != name:
        raise MalformedMessage(f"the subject says {name!r} and the header ce-type {said_type!r}")
    try:
        event = _decoder(name).decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedMessage(f"{name}: {error}") from error
    if subject != subject_of(type(event), event.key):
        raise MalformedMessage(f"the body is about {event.key!r}, the subject is {subject!r}")
    identity = event_id(event)
    return InboundEvent(
        event_id=identity,
        event=event,
        traceparent=traceparent(event.key, identity, header.get(TRACE)),
        message_id=header.get(MESSAGE_ID, identity),
    )


def rfc3339(time: datetime) -> str:
    """UTC with microseconds, always of the same length."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


@cache
def _decoder(name: str) -> msgspec.json.Decoder[Event]:
    return msgspec.json.Decoder(EVENTS[name])
