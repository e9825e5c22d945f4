"""A batch's rows in memory: what was loaded, what changed, and a savepoint for each message.

Rows are frozen structs: a change puts a new row in the place of the old one. So to roll back one
message of a batch is cheap: forget what it put. Nothing here knows a database.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

import msgspec

K = TypeVar("K")
R = TypeVar("R", bound=msgspec.Struct)


class Change(msgspec.Struct, frozen=True):
    """A row that the current message has put, and the row before it. `rows` is their name."""

    rows: str
    before: msgspec.Struct | None
    after: msgspec.Struct


class Erased(msgspec.Struct, frozen=True):
    """All personal data of this key is erased, in streams and outboxes too."""

    key: str


class Savepoint(Protocol):
    """Something whose changes since the last savepoint can be kept or forgotten."""

    def release(self) -> None:
        """The message succeeded: its changes stay."""

    def roll_back(self) -> None:
        """The message failed: its changes are forgotten."""


class Rows(Generic[K, R]):
    """The rows of one table that a batch works on, by key (an identity map)."""

    def __init__(self, loaded: Mapping[K, R] | None = None) -> None:
        self._loaded = dict(loaded or {})
        self._released: dict[K, R] = {}
        self._open: dict[K, R] = {}

    def get(self, key: K) -> R | None:
        if key in self._open:
            return self._open[key]
        return self._released.get(key) or self._loaded.get(key)

    def __getitem__(self, key: K) -> R:
        row = self.get(key)
        if row is None:
            raise KeyError(key)
        return row

    def __contains__(self, key: K) -> bool:
        return self.get(key) is not None

    def __setitem__(self, key: K, row: R) -> None:
        self._open[key] = row

    def __or__(self, others: "Rows[K, R]") -> "Rows[K, R]":
        """These rows and others, as they were loaded."""
        return Rows(self._loaded | others._loaded)

    def release(self) -> None:
        self._released.update(self._open)
        self._open.clear()

    def roll_back(self) -> None:
        self._open.clear()

    @property
    def has_open_changes(self) -> bool:
        """Has the current message put any row?"""
        return bool(self._open)

    @property
    def open_changes(self) -> list[tuple[R | None, R]]:
        """The rows that the current message has put, each with the row before it."""
        return [
            (self._released.get(key) or self._loaded.get(key), row)
            for key, row in self._open.items()
        ]

    @property
    def loaded(self) -> Iterable[R]:
        """The rows as they were before the batch."""
        return self._loaded.values()

    @property
    def released(self) -> Iterable[R]:
        """All rows as they are without the current message."""
        return (self._loaded | self._released).values()

    @property
    def current(self) -> list[R]:
        """All rows as they are now, with what the current message has put."""
        return list((self._loaded | self._released | self._open).values())

    @property
    def changed_keys(self) -> Iterable[K]:
        """The keys of the rows that the batch has put."""
        return self._released

    @property
    def inserted(self) -> list[R]:
        return [row for key, row in self._released.items() if key not in self._loaded]

    @property
    def updated(self) -> list[R]:
        return [
            row
            for key, row in self._released.items()
            if key in self._loaded and self._loaded[key] != row
        ]


class Ledger(Generic[R]):
    """Rows that are only ever added, in their order."""

    def __init__(self) -> None:
        self._released: list[R] = []
        self._open: list[R] = []

    def add(self, row: R) -> None:
        self._open.append(row)

    def release(self) -> None:
        self._released += self._open
        self._open.clear()

    def roll_back(self) -> None:
        self._open.clear()

    def __iter__(self) -> Iterator[R]:
        return iter(self._released)

    @property
    def open_changes(self) -> list[tuple[None, R]]:
        """The rows that the current message has added."""
        return [(None, row) for row in self._open]


class UnitOfWork:
    """What a participant's reactions work on: its `Rows` and `Ledger`s, and the batch's time.

    A participant's own class names them and hands them on. `now` is the same for the whole batch.
    `external_calls` are the calls to external systems to make once the batch is committed. `erased`
    are the persons whose data is erased: of them nothing stays in the outbox either.
    """

    def __init__(self, now: datetime, *parts: Savepoint) -> None:
        self.now = now
        self.external_calls: Ledger[Any] = Ledger()
        self.erased: Ledger[Erased] = Ledger()
        self._parts = (*parts, self.external_calls, self.erased)

    def release(self) -> None:
        for part in self._parts:
            part.release()

    def roll_back(self) -> None:
        for part in self._parts:
            part.roll_back()

    @property
    def open_changes(self) -> list[Change]:
        """What the current message has changed so far, without external calls.

        A row that is in two parts, such as an index of a ledger, is named by the last one.
        """
        found = {
            id(after): Change(name, before, after)
            for name, part in vars(self).items()
            if isinstance(part, Rows | Ledger) and part is not self.external_calls
            for before, after in part.open_changes
            if before != after
        }
        return list(found.values())


def values_of(messages: Iterable[object], *names: str) -> list[str]:
    """The distinct values that the messages have under these names, sorted.

    Sorted, because rows are locked in this order, so that two instances don't deadlock.
    """
    found = {getattr(message, name, None) for message in messages for name in names}
    return sorted(found - {None})  # type: ignore[arg-type]
