"""The envelope of an event on the wire: subject, id, headers, and the JSON body.

Headers follow the CloudEvents binding for NATS (binary mode) with the causation extension, and W3C
Trace Context. All of it is derived from the event and its cause, so the same decision made twice
gives the same message.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache

import msgspec

from saga import ids
from saga.event import Contract, Event

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
"""The broker adds it to what it reads out of a stream for a client. The client chooses the subject
of that answer, so a service could have its own event delivered under another service's subject."""


class MalformedMessage(Exception):
    """A message that is no event of the contract. A retry can't help: it becomes a dead letter."""


class OutboundEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An encoded event, as the outbox keeps it.

    `cause_id` is the id of the event that caused it; None for the first of a chain.
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
    """A decoded event. `message_id` is the broker's id of the message that carried it."""

    event_id: str
    event: Event
    traceparent: str
    message_id: str

    @property
    def is_retransmission(self) -> bool:
        """Its producer published it again, because an answer is missing."""
        return self.message_id != self.event_id

    @property
    def name(self) -> str:
        return type(self.event).__name__


def event_id(event: Event) -> str:
    """The id of a decision: the same for the same decision, however often it is made.

    It follows from the event's name, key, entry and occurrence, and begins as the key does.
    """
    return id_of(type(event), event.key, event.occurrence, event.entry)


def id_of(event_type: type[Event], key: str, occurrence: int = 0, entry: str | None = None) -> str:
    """The id that an event has or will have."""
    name = event_type.__name__ if entry is None else f"{event_type.__name__}/{entry}"
    return ids.derived(key, f"{name}/{occurrence}")


def subject_of(event_type: type[Event], key: str = "*", entry: str | None = None) -> str:
    """`<prefix>.<key>.<EventName>`, and `.<entry>` in a stream that has entries.

    Without a key, or an entry, the filter for all of them.
    """
    stream = event_type.stream
    subject = f"{stream.prefix}.{key}.{event_type.__name__}"
    return f"{subject}.{entry or '*'}" if stream.has_entries else subject


def name_in(subject: str) -> str:
    """The event's name in its subject."""
    return [*subject.split("."), "", ""][2]


def is_traceparent(text: str) -> bool:
    """Is this a W3C trace context?"""
    return _TRACE.fullmatch(text) is not None


def traceparent(key: str, span_source: str, parent: str | None = None) -> str:
    """A W3C trace context: it continues the trace of `parent`, or starts one from the key.

    `key` and `span_source` are UUIDs. A trace id has as many bits as a UUID, a span id half: the
    last ones, because ids that belong to one saga begin alike. A parent that is no trace context is
    ignored, as the recommendation asks.
    """
    known = parent is not None and _TRACE.match(parent)
    trace_id = parent[3:35] if parent and known else key.replace("-", "")
    return f"00-{trace_id}-{span_source.replace('-', '')[-16:]}-01"


def encode(
    event: Event, time: datetime, *, cause_id: str | None = None, parent_trace: str | None = None
) -> OutboundEvent:
    """Encode a decision. Its trace continues the parent's, where there is one."""
    identity = event_id(event)
    return OutboundEvent(
        event_id=identity,
        name=type(event).__name__,
        key=event.key,
        stream=event.stream.name,
        subject=subject_of(type(event), event.key, event.entry),
        body=_encode(event),
        cause_id=cause_id,
        traceparent=traceparent(event.key, identity, parent_trace),
        created_at=time,
    )


def headers(
    outbound: OutboundEvent, source: str, *, retransmission: str | None = None
) -> dict[str, str]:
    """The message's headers: CloudEvents attributes, cause, trace, and the broker's message id.

    `retransmission` names one retransmission of the event: to the broker it is a new message, to
    every inbox the same event.
    """
    result = {
        MESSAGE_ID: _message_id(outbound, retransmission),
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


def _message_id(outbound: OutboundEvent, retransmission: str | None) -> str:
    return f"{outbound.event_id}/{retransmission}" if retransmission else outbound.event_id


def decode(
    contract: Contract, subject: str, body: bytes, header: Mapping[str, str] | None
) -> InboundEvent:
    """Decode a message. Headers are optional: subject and body hold all that is needed.

    Raises MalformedMessage, with a sentence that says why, when it is no event of the contract.
    """
    header = header or {}
    name = name_in(subject)
    if COPIED_FROM in header:
        raise MalformedMessage("a stored message that was sent on to this subject, not an event")
    declared = header.get(EVENT_TYPE, name)
    event_type = contract.named(declared)
    if event_type is None:
        raise MalformedMessage(f"unknown event type {declared!r}")
    if declared != name:
        raise MalformedMessage(f"the subject says {name!r} and the header ce-type {declared!r}")
    try:
        event = _decoder(event_type).decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedMessage(f"{name}: {error}") from error
    if subject != subject_of(event_type, event.key, event.entry):
        about = " and ".join(repr(each) for each in (event.key, event.entry) if each is not None)
        raise MalformedMessage(f"the body is about {about}, the subject is {subject!r}")
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
def _decoder(event_type: type[Event]) -> msgspec.json.Decoder[Event]:
    return msgspec.json.Decoder(event_type)
