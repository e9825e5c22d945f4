"""Events, the streams that carry them, and the contract that a choreography's participants share.

An event is a fact that its owner has already committed. Every event belongs to one saga or one
entity, its `key`, and travels under the subject `<prefix>.<key>.<EventName>`, which its `entry`
follows in a stream that has entries.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, ClassVar

import msgspec

ID_PATTERN = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
Id = Annotated[str, msgspec.Meta(pattern=ID_PATTERN)]
"""A UUID in its canonical text form."""


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """A stream of the broker.

    `prefix` is the first token of its subjects. `key` says what an event's key is, for documents
    and log lines: `tripId`. `newest_only`: it keeps the newest event of each subject alone, for
    ever; otherwise it keeps every event for `max_age_seconds`. `is_limited`: the setting for how
    many bytes the events of all sagas may take applies to it. `has_entries`: a key may have several
    of each event, told apart by the event's `entry`. `is_personal`: its events hold data about the
    person that is their key. Only participants that use them may read them, and an erasure removes
    them.
    """

    name: str
    prefix: str
    key: str
    newest_only: bool = False
    is_limited: bool = False
    has_entries: bool = False
    is_personal: bool = False
    max_age_seconds: int = 7 * 24 * 3600

    @property
    def subjects(self) -> str:
        """The filter that all of its subjects match."""
        return f"{self.prefix}.*.*.*" if self.has_entries else f"{self.prefix}.*.*"

    def subjects_of(self, key: str) -> str:
        """The filter that all subjects of one key match."""
        return f"{self.prefix}.{key}.>"


class Part(StrEnum):
    """The part of the flow to which an event belongs, for the diagram."""

    FORWARD = "FORWARD"
    FAILURE = "FAILURE"
    REQUEST = "REQUEST"
    UNDONE = "UNDONE"


class Event(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What all events have in common.

    `failure`: participants that had done their part before it must undo it.
    `part`: where it belongs in the flow.
    `final`: no participant has to handle it; it tells external observers how a saga ended.
    `decides`: the question that it answers, where another event would be the other answer.
    """

    stream: ClassVar[Stream]
    part: ClassVar[Part] = Part.FORWARD
    failure: ClassVar[bool] = False
    final: ClassVar[bool] = False
    decides: ClassVar[str | None] = None

    @property
    def key(self) -> str:
        """The saga or entity that the event is about, a UUID: the second token of its subject."""
        raise NotImplementedError

    @property
    def entry(self) -> str | None:
        """Of several things of one key the one that the event is about, a UUID: the last token of
        its subject. Not None in a stream that has entries, and only there."""
        return None

    @property
    def occurrence(self) -> int:
        """Tells decisions apart that one key may see more than once, such as a second cancel."""
        return 0

    @property
    def decision(self) -> str | None:
        """Two different events of one key with the same decision contradict each other."""
        return f"{self.decides}/{self.occurrence}" if self.decides else None


class Contract:
    """Every event of one choreography by its name, in the order in which a saga meets them."""

    def __init__(self, *events: type[Event]) -> None:
        self._events = {event.__name__: event for event in events}
        self.streams = {event.stream.name: event.stream for event in events}

    def __iter__(self) -> Iterator[type[Event]]:
        return iter(self._events.values())

    def __len__(self) -> int:
        return len(self._events)

    def __contains__(self, event: object) -> bool:
        return any(event is known for known in self)

    @property
    def names(self) -> list[str]:
        return list(self._events)

    def named(self, name: str) -> type[Event] | None:
        return self._events.get(name)
