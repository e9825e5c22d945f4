"""Personal data: nothing is left of an erased user, in any database and in the broker."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from importlib import import_module
from itertools import chain

import msgspec
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    String,
    Table,
    or_,
    select,
    text,
    type_coerce,
)

from chassis.storage.tables import dead_letters, outbox
from ops.audit.findings import Discrepancy, Result, result
from ops.audit.sources import Databases, moment
from ops.audit.stream import Contents
from ops.audit.tolerance import Tolerance
from saga import personal as marks
from saga.event import Stream

LEFT = "personal data: nothing is left of an erased user"
DONE = "personal data: each erasure is done within five minutes"

MAX_ERASURE_SECONDS = 300
_OWNERS = ("user_id", "customer_id")
"""Columns that name the person of a row."""


class Erasure(msgspec.Struct, frozen=True):
    """A user's row that is erased, or is being erased since then."""

    user_id: str
    state: str
    since: datetime

    @property
    def is_done(self) -> bool:
        return self.state == "ERASED"


def erasures(databases: Databases) -> list[Erasure]:
    query = text("SELECT user_id, state, updated_at FROM users WHERE state <> 'ACTIVE'")
    rows = databases["user"].execute(query)
    return [Erasure(row.user_id, row.state, moment(row.updated_at)) for row in rows]


class PersonalData:
    """What the databases hold of erased users."""

    def __init__(
        self, databases: Databases, streams: Mapping[str, Stream], tolerance: Tolerance
    ) -> None:
        self._tolerance = tolerance
        self._streams = [stream for stream in streams.values() if stream.is_personal]
        self._erasures = erasures(databases)
        self._left = list(self._in_databases(databases))

    def checks(self, contents: Mapping[str, Contents]) -> list[Result]:
        left = chain(self._left, self._in_streams(contents))
        return [
            result(LEFT, len(self._erasures), left),
            result(DONE, len(self._erasures), self._overdue()),
        ]

    def _in_databases(self, databases: Databases) -> Iterator[Discrepancy]:
        """The others erase theirs a moment after the user service."""
        done = [each.user_id for each in self._erasures if each.is_done]
        began = [each.user_id for each in self._erasures]
        for service, connection in databases.items():
            users = began if service == "user" else done
            for table, owner, marked in personal_tables(service):
                filled = or_(*(_is_filled(column, owner) for column in marked))
                query = select(owner).where(owner.in_(users), filled).distinct()
                for user_id in connection.execute(query).scalars():
                    yield _left(user_id, f"{service}'s table {table.name} still has data")
            yield from self._in_chassis_tables(service, connection, set(users))

    def _in_chassis_tables(
        self, service: str, connection: Connection, users: set[str]
    ) -> Iterator[Discrepancy]:
        names = [stream.name for stream in self._streams]
        rows = select(outbox.c.key).where(outbox.c.stream.in_(names)).distinct()
        for user_id in sorted(users.intersection(connection.execute(rows).scalars())):
            yield _left(user_id, f"{service}'s outbox still has events")
        prefixes = {stream.prefix for stream in self._streams}
        subjects: list[str] = list(connection.execute(select(dead_letters.c.subject)).scalars())
        for prefix, user_id, *_ in ([*subject.split("."), ""] for subject in subjects):
            if prefix in prefixes and user_id in users:
                yield _left(user_id, f"{service} has a dead letter")

    def _in_streams(self, contents: Mapping[str, Contents]) -> Iterator[Discrepancy]:
        done = {each.user_id for each in self._erasures if each.is_done}
        for stream in self._streams:
            subjects = contents.get(stream.name, Contents(0, {})).subjects
            for user_id in sorted({subject.split(".")[1] for subject in subjects} & done):
                yield _left(user_id, f"the stream {stream.name} still has events")

    def _overdue(self) -> Iterator[Discrepancy]:
        for each in self._erasures:
            age_seconds = (self._tolerance.began_at - each.since).total_seconds()
            if each.is_done or age_seconds < MAX_ERASURE_SECONDS or self._tolerance.recovering:
                continue
            yield Discrepancy(
                check=DONE,
                entity=each.user_id,
                event="ShippingAddressesErased" if each.state == "ERASING" else None,
                what=f"the erasure of user {each.user_id} is {each.state}",
                age=self._tolerance.age_text(each.since),
            )


def personal_tables(service: str) -> Iterator[tuple[Table, Column[str], list[Column[str]]]]:
    """A service's tables with personal data, each with the person's column and the marked ones."""
    for table in import_module(f"{service}.app").participant.schema.sorted_tables:
        if marked := [column for column in table.columns if marks.MARK in column.info]:
            yield table, next(table.c[name] for name in _OWNERS if name in table.c), marked


def _is_filled(column: Column[str], owner: Column[str]) -> ColumnElement[bool]:
    """A value of another type is compared as a text too."""
    text_of = type_coerce(column, String)
    return text_of.is_not(None) & (text_of != "") & (text_of != owner)


def _left(user_id: str, where: str) -> Discrepancy:
    return Discrepancy(check=LEFT, entity=user_id, what=f"of user {user_id} {where}")
