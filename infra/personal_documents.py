"""The page of personal data: what, where it rests, for how long and who reads it."""

from collections.abc import Iterator
from importlib import import_module

from sqlalchemy import MetaData

from events.contract import CONTRACT
from events.participants import PARTICIPANTS
from saga.choreography.graph import Choreography, load
from saga.event import Event, Stream
from saga.personal import MARK, personal_fields

_HEAD = """\
# Personal data

Written by `make documents` from the marks on the services' tables and events
(`saga/personal.py`); don't edit it.

Ids are random and name no one by themselves; what a customer has bought, paid and cancelled is kept
under the id alone, and stays after an erasure. All data below is gone after one:
`DELETE /users/{userId}` ([decision 40](decisions/0040-personal-data.md), [what an operator
does](operations.md#erasing-a-person)).

## In databases

| what | where | what for | how long | who reads it |
|---|---|---|---|---|
"""
_EVENTS = """
## In events

| what | stream | what for | how long | who reads it |
|---|---|---|---|---|
"""
_REST = """
## Elsewhere

| where | what | how long |
|---|---|---|
| outboxes of the services that publish these events, and dead letters of those that read them | \
the events above | as long as in the stream |
| backups (`make backup`, Litestream) | what the databases held then | as long as the backups are \
kept: not longer than seven days, because `USERS` keeps a UserErased so long, by which a restored \
database is erased again |
| free pages of a SQLite file, dead rows of PostgreSQL | what was deleted | until they are \
overwritten, or vacuumed |
| logs and metrics | nothing: ids alone | - |
| memory of the user service | addresses of accounts with wrong passwords | an hour |
"""
_UNTIL_ERASED = "until it is changed or deleted, or its person is erased"


def personal_data() -> str:
    """The page."""
    flow = load()
    return _HEAD + "".join(_columns()) + _EVENTS + "".join(_fields(flow)) + _REST


def _columns() -> Iterator[str]:
    for service in PARTICIPANTS:
        schema: MetaData = import_module(f"{service}.app").participant.schema
        for table in schema.sorted_tables:
            for column in table.columns:
                if mark := column.info.get(MARK):
                    where = f"`{service}`: `{table.name}`"
                    yield (
                        f"| `{column.name}` | {where} | {mark.purpose} | {_UNTIL_ERASED} "
                        f"| {service} |\n"
                    )


def _fields(flow: Choreography) -> Iterator[str]:
    for event in CONTRACT:
        for path, mark in personal_fields(event):
            kept = _kept(event.stream)
            readers = ", ".join(_readers(flow, event))
            yield (
                f"| `{event.__name__}.{path}` | `{event.stream.name}` | {mark.purpose} | {kept} "
                f"| {readers} |\n"
            )


def _kept(stream: Stream) -> str:
    if stream.is_personal:
        return "the newest version, until its person is erased"
    return f"in events of the version before alone, {stream.max_age_seconds // 86_400} days"


def _readers(flow: Choreography, event: type[Event]) -> list[str]:
    readers = sorted({*flow.producers(event), *flow.consumers(event)})
    if not event.stream.is_personal:
        return [*readers, "observer"]
    return sorted({*readers, *(name for name, each in flow.registries.items() if each.erases)})
