"""A batch's rows in memory: what was loaded, what changed, and a way back for each message.

Rows are frozen structs; a change puts a new row in the old one's place. That makes undoing one
message of a batch cheap: forget what it put. Nothing here knows a database.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec

K = TypeVar("K")
R = TypeVar("R", bound=msgspec.Struct)


class Rows(Generic[K, R]):
    """The rows of one table that a batch works on, by key."""

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
        """These and others, as they were loaded."""
        return Rows(self._loaded | others._loaded)

    def release(self) -> None:
        """The message went well: what it put stays."""
        self._released.update(self._open)
        self._open.clear()

    def roll_back(self) -> None:
        """The message did not: it has never been here."""
        self._open.clear()

    @property
    def changes(self) -> list[tuple[R | None, R]]:
        """What this message has put, each with what was there before it."""
        return [
            (self._released.get(key) or self._loaded.get(key), row)
            for key, row in self._open.items()
        ]

    @property
    def loaded(self) -> Iterable[R]:
        """The rows as they were before the batch."""
        return self._loaded.values()

    @property
    def changed_keys(self) -> Iterable[K]:
        """The keys of the rows that messages of the batch have put."""
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


class UnitOfWork:
    """What a service's reactions work on: its `Rows` and `Ledger`s, and the time of the batch.

    A service's own class names them and hands them on. `now` is the same for the whole batch.
    `external_calls` are the calls to external systems to make once the batch is committed.
    """

    def __init__(self, now: datetime, *parts: "Rows[Any, Any] | Ledger[Any]") -> None:
        self.now = now
        self.external_calls: Ledger[Any] = Ledger()
        self._parts = (*parts, self.external_calls)

    def release(self) -> None:
        for part in self._parts:
            part.release()

    def roll_back(self) -> None:
        for part in self._parts:
            part.roll_back()


def values_of(messages: Iterable[object], *names: str) -> list[str]:
    """The distinct values that the messages have under these names, sorted.

    Sorted, because rows are locked in this order, so that two instances don't wait for each other.
    """
    found = {getattr(message, name, None) for message in messages for name in names}
    return sorted(found - {None})  # type: ignore[arg-type]
