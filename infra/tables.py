"""The tables that the chassis keeps in every service's database, and how structs become rows."""

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from operator import attrgetter
from typing import Any, Generic, TypeVar

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
    bindparam,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.rows import K, R, Rows

S = TypeVar("S")

MOST_PARAMETERS = 10_000
"""Of a statement. A database that is given too many says so as if it could not be reached."""

Uuid = String(36)
Sequence64 = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up only INTEGER keys
Won64 = BigInteger()


class Time(TypeDecorator[datetime]):
    """A time in UTC. SQLite forgets the zone, so it is put back on the way out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _: Dialect) -> datetime | None:
        if value is None or value.tzinfo is UTC:
            return value
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _: Dialect) -> datetime | None:
        if value is None or value.tzinfo is UTC:
            return value
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Json(TypeDecorator[Any]):
    """A value of a known type, kept as its JSON."""

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


def one_of(states: type[StrEnum]) -> Enum:
    """A column that holds one of these, checked by the database too."""
    return Enum(states, native_enum=False, create_constraint=True, length=32)


metadata = MetaData()

inbox = Table(
    "inbox",
    metadata,
    Column("event_id", Uuid, primary_key=True),
    Column("name", String(64), nullable=False),
    Column("key", Uuid, nullable=False),
    Column("received_at", Time, nullable=False, index=True),
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
Index(
    "outbox_unpublished",
    outbox.c.id,
    sqlite_where=outbox.c.published_at.is_(None),
    postgresql_where=outbox.c.published_at.is_(None),
)
Index("outbox_published", outbox.c.published_at)
Index("outbox_of_key", outbox.c.key)
Index("outbox_in_stream", outbox.c.stream, outbox.c.stream_sequence, outbox.c.id)

repeats = Table(
    "repeats",
    metadata,
    Column("order_id", Uuid, primary_key=True),
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


def unsettled(rows: Table, states: Collection[str]) -> ColumnElement[bool]:
    """The participant rows that still wait for somebody, or owe an answer.

    The states stand in the statement itself: only then does the index below serve it.
    """
    return rows.c.state.in_(
        bindparam("unsettled", sorted(states), expanding=True, literal_execute=True)
    )


def index_unsettled(rows: Table, states: Collection[str]) -> None:
    """Of all orders few are under way: the index by time holds those alone."""
    these = rows.c.state.in_(sorted(states))
    name = f"{rows.name}_unsettled"
    Index(name, rows.c.updated_at, sqlite_where=these, postgresql_where=these)


class Appended(Generic[R]):
    """A table to which rows are only added; structs with fields of the columns' names."""

    def __init__(self, table: Table, row_type: type[R]) -> None:
        self.table = table
        self.row_type = row_type
        self.fields = row_type.__struct_fields__
        self.columns = [table.c[name] for name in self.fields]
        self._insert = insert(table)

    def row(self, values: Sequence[Any]) -> R:
        """A row of a query that selected `columns`."""
        return self.row_type(**dict(zip(self.fields, values, strict=True)))

    async def find(self, connection: AsyncConnection, by: str, value: str) -> R | None:
        """The row whose column `by` has this value; at most one does."""
        query = select(*self.columns).where(self.table.c[by] == value)
        row = (await connection.execute(query)).one_or_none()
        return self.row(row) if row else None

    async def page(
        self,
        connection: AsyncConnection,
        matching: ColumnElement[bool],
        *order: ColumnElement[Any],
        offset: int,
        size: int,
    ) -> tuple[list[R], int]:
        """One page of the rows that match, in this order, and how many there are in all."""
        query = select(*self.columns).where(matching).order_by(*order)
        rows = (await connection.execute(query.offset(offset).limit(size))).all()
        count = select(func.count()).select_from(self.table).where(matching)
        return [self.row(row) for row in rows], await connection.scalar(count) or 0

    def append(self, connection: Connection, rows: Iterable[R]) -> None:
        """Write new rows, all in one statement."""
        if new := [msgspec.structs.asdict(row) for row in rows]:
            connection.execute(self._insert, new)


class Mapped(Appended[R], Generic[K, R]):
    """A table whose rows are loaded by key, changed in memory and written back."""

    def __init__(self, table: Table, row_type: type[R], *key: str) -> None:
        super().__init__(table, row_type)
        self._key = key
        self._key_of: Callable[[Any], Any] = attrgetter(*key)
        self._update = (
            update(table)
            .where(*(table.c[name] == bindparam(f"_{name}") for name in key))
            .values({name: bindparam(name) for name in self.fields if name not in key})
        )

    def load(self, connection: Connection, by: str, values: Iterable[str]) -> Rows[K, R]:
        """The rows whose column `by` has one of the values, locked until the transaction ends.

        Locked in the order of the key, so that two instances never wait for each other. (SQLite
        has no row locks and needs none: it has one writer.)
        """
        rows: dict[K, R] = {}
        wanted = sorted(values)
        for start in range(0, len(wanted), MOST_PARAMETERS):
            rows |= self._load_some(connection, by, wanted[start : start + MOST_PARAMETERS])
        return Rows(rows)

    def _load_some(self, connection: Connection, by: str, wanted: Sequence[str]) -> dict[K, R]:
        statement = (
            select(*self.columns)
            .where(self.table.c[by].in_(wanted))
            .order_by(*(self.table.c[name] for name in self._key))
            .with_for_update()
        )
        rows = [self.row(row) for row in connection.execute(statement)]
        return {self._key_of(row): row for row in rows}

    def save(self, connection: Connection, rows: Rows[K, R]) -> None:
        """Write what changed: one statement for all new rows, one for all changed ones."""
        self.append(connection, rows.inserted)
        if changed := rows.updated:
            connection.execute(self._update, [self._addressed(row) for row in changed])

    def _addressed(self, row: R) -> dict[str, Any]:
        values = msgspec.structs.asdict(row)
        values.update({f"_{name}": values[name] for name in self._key})
        return values
