"""The chassis' tables in every service's database, and the types of columns."""

from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    DateTime,
    Dialect,
    Enum,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    and_,
    bindparam,
    false,
    literal_column,
    select,
    update,
)

from chassis.storage.append_only import make_append_only
from chassis.storage.migrations import Upgrade, add_column
from saga.envelope import EVENT_ID
from saga.event import Stream

Uuid = String(36)
Sequence64 = BigInteger().with_variant(Integer, "sqlite")  # SQLite generates only INTEGER keys
Integer64 = BigInteger()


class Time(TypeDecorator[datetime]):
    """A time in UTC. SQLite stores no zone, so it is added when a row is read."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], Any] | None:
        """For SQLite in one step, with the same result: a batch binds many values."""
        if dialect.name != "sqlite":
            return super().bind_processor(dialect)
        return lambda value: None if value is None else _sqlite_text(value)

    def process_bind_param(self, value: datetime | None, _: Dialect) -> datetime | None:
        if value is None or value.tzinfo is UTC:
            return value
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _: Dialect) -> datetime | None:
        if value is None or value.tzinfo is UTC:
            return value
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


@lru_cache(maxsize=1024)  # nearly all times of a batch are the time of the batch
def _sqlite_text(value: datetime) -> str:
    """The text that SQLAlchemy writes into SQLite: `2026-01-31 09:00:00.000000`, in UTC."""
    if value.tzinfo is not UTC:
        value = value.astimezone(UTC)
    return value.isoformat(" ", "microseconds")[:26]


class Json(TypeDecorator[Any]):
    """A value of a known type, stored as its JSON."""

    impl = Text
    cache_ok = True

    def __init__(self, of: Any) -> None:
        super().__init__()
        self.of = of
        self._decoder = msgspec.json.Decoder(of)

    def process_bind_param(self, value: Any, _: Dialect) -> str | None:
        return None if value is None else msgspec.json.encode(value).decode()

    def process_result_value(self, value: str | None, _: Dialect) -> Any:
        return None if value is None else self._decoder.decode(value)


def one_of(states: type[StrEnum], *, is_checked: bool = True) -> Enum:
    """The type of a column with one of these states; the database checks it too.

    Not `is_checked`: states may be added later without a copy of the table (decision 25).
    """
    return Enum(states, native_enum=False, create_constraint=is_checked, length=32)


metadata = MetaData()

inbox = Table(
    "inbox",
    metadata,
    Column("event_id", Uuid, primary_key=True),
    Column("name", String(64), nullable=False),
    Column("key", Uuid, nullable=False),
    Column("received_at", Time, nullable=False, index=True),
)

trusted_keys = Table(
    "trusted_keys",
    metadata,
    Column("key_id", Uuid, primary_key=True),
    Column("public_key", String(64), nullable=False),
    Column("trusted_until", Time, nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Sequence64, primary_key=True, autoincrement=True),
    Column("event_id", Uuid, nullable=False, unique=True),
    Column("name", String(64), nullable=False),
    Column("key", Uuid, nullable=False),
    Column("stream", String(32), nullable=False),
    Column("subject", String(160), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("cause_id", Uuid),
    Column("traceparent", String(55), nullable=False),
    Column("created_at", Time, nullable=False),
    Column("claimed_by", String(100), nullable=False),
    Column("claimed_until", Time, nullable=False),
    Column("published_at", Time),
    Column("stream_sequence", BigInteger),
)


def _index(name: str, *columns: Column[Any], where: ColumnElement[bool]) -> None:
    """An index of the rows of the outbox for which this condition holds."""
    Index(name, *columns, sqlite_where=where, postgresql_where=where)


_index("outbox_unpublished", outbox.c.id, where=outbox.c.published_at.is_(None))
_index("outbox_published", outbox.c.published_at, where=outbox.c.published_at.is_not(None))
_index(
    "outbox_in_stream",
    outbox.c.stream,
    outbox.c.stream_sequence,
    outbox.c.id,
    where=outbox.c.stream_sequence.is_not(None),
)
Index("outbox_of_key", outbox.c.key)

repeats = Table(
    "repeats",
    metadata,
    Column("order_id", Uuid, primary_key=True, key="saga_key"),
    Column("times", Integer, nullable=False),
    Column("next_at", Time, nullable=False, index=True),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", Sequence64, primary_key=True, autoincrement=True),
    Column("digest", String(64), nullable=False, unique=True),
    Column("stream", String(32), nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("subject", Text, nullable=False),
    Column("headers", Json(dict[str, str]), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("reason", String(32), nullable=False),
    Column("error", Text, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("redriven_at", Time),
    Column("state", String(32), nullable=False, server_default="OPEN"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("dismissed_at", Time),
    Column("dismiss_reason", Text),
)

recoveries = Table(
    "recoveries",
    metadata,
    Column("id", Sequence64, primary_key=True, autoincrement=True),
    Column("began_at", Time, nullable=False),
    Column("adopted", Integer, nullable=False),
    Column("released_at", Time),
)

recovery_findings = Table(
    "recovery_findings",
    metadata,
    Column("event_id", Uuid, primary_key=True),
    Column("kind", String(32), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("key", Uuid, nullable=False),
    Column("what", Text, nullable=False),
    Column("created_at", Time, nullable=False),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("key", String(255), primary_key=True),
    Column("scope", String(120), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Column("created_at", Time, nullable=False, index=True),
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("id", Sequence64, primary_key=True, autoincrement=True),
    Column("at", Time, nullable=False, index=True),
    Column("subject", Text),
    Column("roles", Text, nullable=False),
    Column("client_address", String(64)),
    Column("action", String(64), nullable=False),
    Column("kind", String(32)),
    Column("target", String(36)),
    Column("on_behalf_of", String(36)),
    Column("outcome", String(16), nullable=False),
    Column("code", String(64)),
    Column("traceparent", String(55)),
    Column("times", Integer, nullable=False),
    Column("kept_until", Time, nullable=False, index=True),
)
Index("audit_log_of_subject", audit_log.c.subject, audit_log.c.id)
Index("audit_log_of_action", audit_log.c.action, audit_log.c.id)
make_append_only(audit_log)


def newest_by(stream: Stream) -> Column[Any]:
    """The outbox's column of which a stream of newest events keeps one row for each value.

    A key has one event in such a stream, unless the stream has entries.
    """
    return outbox.c.subject if stream.has_entries else outbox.c.key


def newest_only_indexes(streams: Iterable[Stream]) -> list[str]:
    """Statements for the outbox's index of each stream that keeps only the newest events."""
    return [
        f"CREATE INDEX IF NOT EXISTS outbox_newest_{stream.name.lower()} "
        f"ON outbox ({newest_by(stream).name}, id) WHERE stream = '{stream.name}'"
        for stream in streams
        if stream.newest_only
    ]


def in_states(rows: Table, states: Collection[str]) -> ColumnElement[bool]:
    """The condition that a row is in one of these states; never for no states.

    The states are part of the text: only then does the database use an index of those rows.
    """
    if not states:
        return false()
    return rows.c.state.in_([literal_column(f"'{state}'") for state in sorted(states)])


def in_range(at: Column[Any]) -> ColumnElement[bool]:
    """The condition that a time is in a range of `saga.due.due_ranges`, which is bound to it.

    A range each time, and not one condition for both, because only a range is found by an index.
    """
    return and_(at > bindparam("after"), at <= bindparam("until"))


def index_unsettled(rows: Table, states: Collection[str]) -> None:
    """An index by time of the unsettled rows, which are few of all."""
    index_states(f"{rows.name}_unsettled", rows.c.updated_at, states)


def index_states(name: str, by: Column[Any], states: Collection[str]) -> None:
    """An index by this column of the rows that are in one of these states."""
    these = by.table.c.state.in_(sorted(states))
    Index(name, by, sqlite_where=these, postgresql_where=these)


LETTERS_NOT_DONE = frozenset({"OPEN", "FAILED_AGAIN"})
index_states("dead_letters_not_done", dead_letters.c.id, LETTERS_NOT_DONE)


def _add_states_of_dead_letters(connection: Connection) -> None:
    """A letter that was redriven is done where the inbox has its event; else it failed again."""
    for column in dead_letters.columns:
        add_column(connection, column)
    for index in dead_letters.indexes:
        index.create(connection, checkfirst=True)
    redriven = dead_letters.c.redriven_at.is_not(None) & (dead_letters.c.attempts == 0)
    letters = connection.execute(select(dead_letters.c.id, dead_letters.c.headers).where(redriven))
    for letter_id, headers in letters.all():
        is_handled = connection.scalar(
            select(inbox.c.event_id).where(inbox.c.event_id == headers.get(EVENT_ID))
        )
        state = "REDRIVEN" if is_handled else "FAILED_AGAIN"
        connection.execute(
            update(dead_letters)
            .where(dead_letters.c.id == letter_id)
            .values(state=state, attempts=1)
        )


UPGRADES = (Upgrade(3, _add_states_of_dead_letters),)
"""The upgrades of the chassis' own tables, in the history of every service."""
