"""Messages that another program might publish: valid, malformed and absurd."""

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any, NamedTuple

import msgspec
from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from events.contract import CONTRACT
from saga.envelope import COPIED_FROM, EVENT_TYPE, MESSAGE_ID, subject_of
from saga.event import Event
from tests.correctness.fuzz.bodies import FRESH_IDS, Ids, events, json_of

DEEP = 10_000
MAX_HEADER_BYTES = 60_000


class Message(NamedTuple):
    """As it goes over the wire. `headers` is the whole block, empty where there is none.

    `letter`: must its consumers make it a dead letter? None where both may be right, as for an
    amount that JSON can hold and a database can't.
    """

    subject: bytes
    headers: bytes
    body: bytes
    letter: bool | None

    def __repr__(self) -> str:
        short = (each[:300] + b"..." if len(each) > 300 else each for each in self[:3])
        return "<{} {} {}>".format(*short)

    @property
    def event_name(self) -> str:
        return b"".join(self.subject.split(b".")[2:3]).decode(errors="replace")


Mutation = Callable[[DrawFn, Event], Message]
Path = tuple[Any, ...]

_NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | _NUMBERS | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3)
    ),
    max_leaves=5,
)
_HEADER_VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=100)
_OPTIONAL_HEADERS = (
    *("ce-id", "ce-specversion", "ce-source", "ce-subject", "ce-time", "ce-causationid"),
    *("traceparent", "Status", "Description", "Content-Type"),
)


def mutated(mutation: Mutation, event_type: type[Event], ids: Ids) -> SearchStrategy[Message]:
    """Events of this type with this mutation."""

    @st.composite
    def messages(draw: DrawFn) -> Message:
        return mutation(draw, draw(events(event_type, ids)))

    return messages()


def message(
    event: Event,
    body: object = None,
    *,
    letter: bool | None,
    subject: str | None = None,
    headers: dict[str, str] | None = None,
) -> Message:
    """A message about an event, the event's own but for what is given."""
    content = json_of(event) if body is None else body
    payload = content if isinstance(content, bytes) else json.dumps(content).encode()
    stated = subject or subject_of(type(event), event.key, event.entry)
    return Message(stated.encode(), block(headers or {}), payload, letter)


def block(headers: dict[str, str]) -> bytes:
    """Headers as they stand before a message's body."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"NATS/1.0\r\n{lines}\r\n".encode() if headers else b""


def headers_of(message: Message) -> dict[str, str]:
    """A block of headers as a reader sees it."""
    lines = message.headers.decode().split("\r\n")[1:-2]
    return dict(line.split(": ", 1) for line in lines)


def _paths(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every path in a body, with its value."""
    if path:
        yield path, value
    if isinstance(value, dict | list):
        for step, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _paths(inner, (*path, step))


def _one_place(draw: DrawFn, body: Any, *kinds: type) -> tuple[Path, Any]:
    """A path with a value of one of these types, and the value."""
    places = [(path, value) for path, value in _paths(body) if type(value) in kinds]
    assume(places)
    place: tuple[Path, Any] = draw(st.sampled_from(places))
    return place


def _changed(body: Any, path: Path, value: Any) -> Any:
    """The body with another value at this path."""
    result = inner = deepcopy(body)
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return result


# ---------------------------------------------------------------- still an event


def unchanged(_: DrawFn, event: Event) -> Message:
    """Valid, although no service has decided it."""
    return message(event, letter=False)


def with_unknown_fields(draw: DrawFn, event: Event) -> Message:
    body = json_of(event)
    names = st.text(max_size=20).filter(lambda name: name not in body)
    more = draw(st.dictionaries(names, ANY_JSON, min_size=1, max_size=5))
    return message(event, more | body, letter=False)


def with_other_headers(draw: DrawFn, event: Event) -> Message:
    """Headers are optional: no value of theirs may matter."""
    names = st.sampled_from(_OPTIONAL_HEADERS) | st.from_regex(r"[A-Za-z-]{1,20}", fullmatch=True)
    ours = names.filter(lambda name: not name.startswith("Nats-") and name != EVENT_TYPE)
    headers = draw(st.dictionaries(ours, _HEADER_VALUES, min_size=1, max_size=5))
    return message(event, headers=headers, letter=False)


def as_a_retransmission(draw: DrawFn, event: Event) -> Message:
    """With another message id, as a service retransmits an event."""
    mark = f"{draw(FRESH_IDS)}/{draw(_HEADER_VALUES)}"
    return message(event, headers={MESSAGE_ID: mark}, letter=False)


def with_a_long_header(draw: DrawFn, event: Event) -> Message:
    name = draw(st.sampled_from(_OPTIONAL_HEADERS))
    return message(event, headers={name: "x" * MAX_HEADER_BYTES}, letter=False)


def under_a_name_without_consumers(draw: DrawFn, event: Event) -> Message:
    name = draw(
        st.from_regex(r"[A-Za-z]{1,30}", fullmatch=True).filter(lambda n: n not in CONTRACT.names)
    )
    subject = subject_of(type(event), event.key, event.entry)
    return message(event, subject=subject.replace(type(event).__name__, name), letter=False)


def with_huge_numbers(draw: DrawFn, event: Event) -> Message:
    body = json_of(event)
    path, _ = _one_place(draw, body, int)
    huge = draw(st.sampled_from((2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 10**30, 10**400)))
    return message(event, _changed(body, path, huge), letter=None)


def with_a_name_twice(draw: DrawFn, event: Event) -> Message:
    body = json_of(event)
    name = draw(st.sampled_from(sorted(body)))
    first = json.dumps({name: draw(ANY_JSON)}).encode()
    return message(event, first[:-1] + b", " + json.dumps(body).encode()[1:], letter=None)


def with_an_extra_byte(draw: DrawFn, event: Event) -> Message:
    whole = json.dumps(json_of(event)).encode()
    place = draw(st.integers(0, len(whole)))
    extra = bytes([draw(st.integers(0, 255))])
    return message(event, whole[:place] + extra + whole[place:], letter=None)


# ---------------------------------------------------------------- malformed


def without_a_field(draw: DrawFn, event: Event) -> Message:
    body = json_of(event)
    needed = [f.encode_name for f in msgspec.structs.fields(event) if f.required]
    del body[draw(st.sampled_from(needed))]
    return message(event, body, letter=True)


def with_another_type(draw: DrawFn, event: Event) -> Message:
    body = json_of(event)
    path, value = _one_place(draw, body, str, int, list, dict)
    other = draw(ANY_JSON.filter(lambda v: v is not None and type(v) is not type(value)))
    return message(event, _changed(body, path, other), letter=True)


def with_a_number_below_zero(draw: DrawFn, event: Event) -> Message:
    body = json_of(event)
    path, _ = _one_place(draw, body, int)
    return message(event, _changed(body, path, -draw(st.integers(1, 10**30))), letter=True)


def cut_short(draw: DrawFn, event: Event) -> Message:
    whole = json.dumps(json_of(event)).encode()
    return message(event, whole[: draw(st.integers(0, len(whole) - 1))], letter=True)


def that_is_no_text(draw: DrawFn, event: Event) -> Message:
    whole = json.dumps(json_of(event)).encode()
    bad = draw(st.sampled_from((b"\xff", b"\xc3(", b"\xed\xa0\x80", b"\xf0\x9f", b"\x00")))
    key = event.key.encode()
    return message(event, whole.replace(key, key[:8] + bad + key[9:]), letter=True)


def that_is_no_object(draw: DrawFn, event: Event) -> Message:
    other = draw(ANY_JSON.filter(lambda value: not isinstance(value, dict)))
    return message(event, json.dumps(other).encode(), letter=True)


def of_any_bytes(draw: DrawFn, event: Event) -> Message:
    return message(event, draw(st.binary(max_size=1_000)), letter=True)


def nested_without_end(draw: DrawFn, event: Event) -> Message:
    opening = draw(st.sampled_from((b"[", b'{"a":', b"[[],", b'[{"a":')))
    name = draw(st.sampled_from(["unknown", *json_of(event)]))
    return message(event, b'{"%s": %s' % (name.encode(), opening * DEEP), letter=True)


def about_another(draw: DrawFn, event: Event) -> Message:
    another = draw(FRESH_IDS.filter(lambda identity: identity != event.key))
    return message(event, subject=subject_of(type(event), another, event.entry), letter=True)


def of_another_type(draw: DrawFn, event: Event) -> Message:
    names = st.sampled_from(sorted(CONTRACT.names)) | _HEADER_VALUES
    declared = draw(names.filter(lambda name: name.strip() != type(event).__name__))
    return message(event, headers={EVENT_TYPE: declared}, letter=True)


def sent_on(draw: DrawFn, event: Event) -> Message:
    return message(event, headers={COPIED_FROM: draw(_HEADER_VALUES)}, letter=True)


MUTATIONS: tuple[Mutation, ...] = (
    unchanged,
    with_unknown_fields,
    with_other_headers,
    as_a_retransmission,
    with_a_long_header,
    under_a_name_without_consumers,
    with_huge_numbers,
    with_a_name_twice,
    with_an_extra_byte,
    without_a_field,
    with_another_type,
    with_a_number_below_zero,
    cut_short,
    that_is_no_text,
    that_is_no_object,
    of_any_bytes,
    nested_without_end,
    about_another,
    of_another_type,
    sent_on,
)

# ---------------------------------------------------------------- any bytes at all

_ODD_BYTES = st.sampled_from(
    [b"\x0b", b"\x0c", b"\x00", b"\x1c", b"\x85", b"\xff\xfe", b"$JS"]
) | st.binary(min_size=1, max_size=50)
_ODD_BLOCKS = st.sampled_from(
    [
        *(b"N", b"NATS/1.0", b"NATS/1.0\r\n", b"NATS/1.0 503", b"NATS/1.0 100 Idle Heartbeat"),
        *(b"XXXXXXXX ", b"XXXXXXXX \xff\xff\xff", b"\r\n", b"NATS/1.0\r\nNats-Sequence: 0"),
        *(b"NATS/1.0\r\nStatus: %s" % status for status in (b"100", b"404", b"408", b"503", b"x")),
    ]
) | st.binary(min_size=1, max_size=50)


def under_any_subject(draw: DrawFn, event: Event) -> Message:
    """The broker takes any bytes between two dots, except those that end a word or a line."""
    subject = subject_of(type(event), event.key, event.entry).encode()
    prefix, key, name, *entry = subject.split(b".")
    odd = draw(_ODD_BYTES.filter(lambda each: not set(each) & set(b" \t\r\n.*>")))
    received = draw(st.booleans())
    subject = b".".join([prefix, odd, name, *entry] if received else [prefix, key, odd, *entry])
    return message(event, letter=received)._replace(subject=subject)


def with_any_headers(draw: DrawFn, event: Event) -> Message:
    """The broker does not parse a block of headers."""
    headers = draw(_ODD_BLOCKS) + draw(st.sampled_from([b"", b"\r\n", b"\r\n\r\n"]))
    empty = draw(st.booleans())
    return message(event, b"" if empty else None, letter=None)._replace(headers=headers)
