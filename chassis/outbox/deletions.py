"""Deletions: notices messages that were deleted from a stream, by a purge or one by one.

A stream removes a message by itself in two cases only: the message is older than the stream's
maximum age, or the stream keeps the newest message of a subject and a newer one has come. Every
other missing message was deleted, and its row counts as unpublished again.

    deleted                                  sign
    ---------------------------------------  -------------------------------------------------------
    the first messages, or all               the newest row below the stream's first sequence is
                                             younger than the maximum age
    messages in the middle                   the stream counts gaps between its messages; the
                                             sequences of the gaps are looked up in the outbox
    messages of a stream that keeps only     the stream holds fewer messages than at the last check,
    the newest                               or than the outbox has keys (or entries, where the
                                             stream has them)

The first sequence and the two numbers come with every check. The sequences of the gaps and the
number of keys are read when the stream's number has changed, and in each thorough check. That one
looks all gaps up again: a row may get the sequence of a gap later, when its publication is recorded
only after its message was deleted.
"""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    CursorResult,
    func,
    literal_column,
    select,
    update,
)

from chassis.ports import Broker, Clock, StreamState
from chassis.storage.database import Database
from chassis.storage.tables import newest_by, outbox
from saga.envelope import subject_of
from saga.event import Event, Stream

ROWS_AT_ONCE = 1000
CLOCK_MARGIN_SECONDS = 3600
"""A message that would expire so soon counts as expired, because clocks differ."""


class _Seen(msgspec.Struct):
    """What the last check of a stream found. `gaps` are the sequences that were looked up."""

    state: StreamState = StreamState()
    gaps: frozenset[int] = frozenset()


class Deletions:
    """Messages that were deleted from the streams of one participant."""

    def __init__(
        self,
        database: Database,
        broker: Broker,
        clock: Clock,
        emits: Collection[type[Event]],
    ) -> None:
        self._database = database
        self._emits = emits
        self._broker = broker
        self._clock = clock
        self._seen: dict[str, _Seen] = {}

    async def unpublish(self, stream: Stream, state: StreamState, *, is_thorough: bool) -> int:
        """Free the rows of deleted messages for the sweep. Returns how many. Raises Outage.

        For a stream that keeps every message until it expires.
        """
        seen = self._seen.setdefault(stream.name, _Seen())
        lost = await self._unpublish_first(stream, state)
        if state.gaps and (is_thorough or state.gaps != seen.state.gaps):
            gaps = frozenset(await self._broker.gaps(stream.name))
            due = sorted(gaps if is_thorough else gaps - seen.gaps)
            for start in range(0, len(due), ROWS_AT_ONCE):
                some = outbox.c.stream_sequence.in_(due[start : start + ROWS_AT_ONCE])
                lost += await self._free(_of(stream) & some)
            seen.gaps = gaps
        seen.state = state
        return lost

    async def are_newest_missing(
        self, stream: Stream, state: StreamState, *, is_thorough: bool
    ) -> bool:
        """Whether messages of a stream that keeps only the newest were deleted. Raises Outage."""
        seen = self._seen.setdefault(stream.name, _Seen())
        before, seen.state = seen.state, state
        has_fewer = state.messages < before.messages
        if has_fewer and not stream.is_personal:  # there an erasure removes messages
            return True
        if not (has_fewer or is_thorough):
            return False
        keys = await self._database.run(partial(_published_keys, stream))
        return await self._held(stream) < keys

    async def _held(self, stream: Stream) -> int:
        """How many messages of this participant the stream holds. Others may publish to it too."""
        own = sorted(subject_of(event) for event in self._emits if event.stream == stream)
        return sum([await self._broker.count(subject) for subject in own])

    async def _unpublish_first(self, stream: Stream, state: StreamState) -> int:
        if state.discards_old:
            return 0
        below = _of(stream) & (outbox.c.stream_sequence < state.first_sequence)
        expired_before = self._expired_before(state)
        newest = await self._database.run(partial(_newest, below))
        if newest is None or newest <= expired_before:
            return 0
        young = select(outbox.c.id).where(below, outbox.c.published_at > expired_before)
        some = outbox.c.id.in_(young.limit(ROWS_AT_ONCE))
        lost = 0
        while freed := await self._free(some):
            lost += freed
        return lost

    def _expired_before(self, state: StreamState) -> datetime:
        """What was published before this time may have expired."""
        if not state.max_age_seconds:
            return datetime.min.replace(tzinfo=UTC)
        margin = min(CLOCK_MARGIN_SECONDS, state.max_age_seconds / 4)
        return self._clock() - timedelta(seconds=state.max_age_seconds - margin)

    async def _free(self, which: ColumnElement[bool]) -> int:
        return await self._database.run(partial(_unpublish, which, self._clock()))


def _of(stream: Stream) -> ColumnElement[bool]:
    return outbox.c.stream == literal_column(f"'{stream.name}'")  # as in the indexes


def _newest(these: ColumnElement[bool], connection: Connection) -> datetime | None:
    """When the message with the highest sequence of these rows was published."""
    last = outbox.c.stream_sequence.desc()
    query = select(outbox.c.published_at).where(these).order_by(last).limit(1)
    return connection.execute(query).scalar()


def _published_keys(stream: Stream, connection: Connection) -> int:
    """At least so many keys, or entries, have a published row.

    Counted so, an index has all that is read.
    """
    keys = select(newest_by(stream)).where(_of(stream)).distinct().subquery()
    unpublished = select(func.count()).where(_of(stream), outbox.c.published_at.is_(None))
    counted = select(func.count()).select_from(keys)
    return connection.execute(counted).scalar_one() - connection.execute(unpublished).scalar_one()


def _unpublish(which: ColumnElement[bool], now: datetime, connection: Connection) -> int:
    free = {"published_at": None, "stream_sequence": None, "claimed_until": now}
    freed: CursorResult[Any] = connection.execute(update(outbox).where(which).values(free))
    return freed.rowcount
