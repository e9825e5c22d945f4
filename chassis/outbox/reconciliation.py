"""Reconciliation: notices that the broker's store was lost or set back, and publishes again.

Every published outbox row has the sequence that the stream gave it. When the stream does not hold
the event there any more, its store was deleted, recreated or replaced by an older copy. (The
stream's creation time shows nothing of a store that was set back, and its last sequence grows
again.) Then each row that is not stored at its sequence counts as unpublished, and the relay's
sweep publishes it again under its id, which every inbox knows.

A check runs before anything is published on a new connection, and periodically. It uses two probes:
the row that was last in the stream at the previous check, and the row that is last now. (The newest
row is no probe: after a loss rows are published again in any order, so a newer row may come before
an older one.) A stream that was lost in between fails the first probe, however fast it has grown
since.

A new connection may lead to another store, even one from before an earlier loss, in which some rows
have the same sequence by chance. So the check of a new connection uses more probes, and so does the
first check, which has no probe of an earlier one.

A stream that keeps only the newest message of a subject has removed the older ones by itself. There
only the newest row of each subject can be missing, and the probes are such rows.

Messages that were deleted from an intact store are noticed otherwise: see `deletions`.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from functools import cache, partial
from itertools import count

import msgspec
from sqlalchemy import (
    BigInteger,
    Connection,
    Integer,
    bindparam,
    func,
    literal_column,
    select,
    tuple_,
    update,
)

from chassis.observability import metrics
from chassis.outbox.deletions import Deletions
from chassis.ports import Broker, Clock, StreamState
from chassis.storage.database import Database
from chassis.storage.statements import Statement
from chassis.storage.tables import newest_by, outbox
from saga.errors import Outage
from saga.event import Event, Stream

log = logging.getLogger(__name__)

CHECK_SECONDS = 5
CHECKS_FOR_A_THOROUGH_ONE = 12
PAGE = 500
ASKED_AT_ONCE = 50
PROBES = 20
RESERVE_RATIO = 0.1
"""This share of each stream is kept for sagas that have begun."""

ENOUGH = 5_000
"""Behind so many consecutive rows that are stored, older rows are assumed to be stored too."""

_LAST = 2**63 - 1

_free = Statement(
    update(outbox)
    .where(
        outbox.c.id == bindparam("id", type_=BigInteger),
        outbox.c.stream_sequence == bindparam("sequence", type_=BigInteger),
    )
    .values(published_at=None, stream_sequence=None, claimed_until=bindparam("now"))
)


class Published(msgspec.Struct, frozen=True):
    """A published event and its sequence in the stream, as in the outbox."""

    id: int
    event_id: str
    sequence: int


class Reconciler:
    """`emits` are the events that the participant publishes.

    `marked` gives the list of what the relay has marked, from which a check removes what it covers.
    """

    def __init__(
        self,
        database: Database,
        broker: Broker,
        clock: Clock,
        emits: Collection[type[Event]],
        marked: Callable[[], list[str]] = list,
    ) -> None:
        self._database = database
        self._broker = broker
        self._clock = clock
        self._marked = marked
        self._streams = sorted({each.stream for each in emits}, key=lambda stream: stream.name)
        self._deletions = Deletions(database, broker, clock, emits)
        self._probes: dict[str, Published] = {}
        self._nearly_full: set[str] = set()

    @property
    def are_streams_nearly_full(self) -> bool:
        """At the last check one had nothing left but its reserve."""
        return bool(self._nearly_full)

    async def run(self) -> None:
        """Check periodically while the broker is connected, until cancelled."""
        for number in count(1):
            await asyncio.sleep(CHECK_SECONDS)
            await self._broker.wait_connected()
            is_thorough = number % CHECKS_FOR_A_THOROUGH_ONE == 0
            marked = self._marked()
            covered = len(marked)
            try:
                await self.check_all(is_thorough=is_thorough)
                del marked[:covered]
            except Outage as error:
                log.warning("the streams can't be checked", extra={"error": str(error)})

    async def check_all(
        self, *, is_new_connection: bool = False, is_thorough: bool = False
    ) -> None:
        """Check every stream that the participant publishes to. Raises Outage."""
        for stream in self._streams:
            await self.check(stream, is_new_connection=is_new_connection, is_thorough=is_thorough)

    async def check(
        self, stream: Stream, *, is_new_connection: bool = False, is_thorough: bool = False
    ) -> int:
        """Compare the outbox with the stream. Returns how many events are published again.

        Raises Outage when one of the two can't be read now.
        """
        state = await self._broker.stream_state(stream.name)
        self._note_fill(stream, state)
        is_thorough = is_thorough or is_new_connection
        are_missing, again = False, 0
        if stream.newest_only:
            are_missing = await self._deletions.are_newest_missing(
                stream, state, is_thorough=is_thorough
            )
        else:
            again = await self._deletions.unpublish(stream, state, is_thorough=is_thorough)
        if again:
            self._probes.pop(stream.name, None)
            log.error(
                "events were deleted from the stream; publishing them again",
                extra={"stream": stream.name, "events": again},
            )
        if are_missing or not await self._are_probes_stored(stream, state, is_new_connection):
            again += await self._publish_lost_again(stream)
        return again

    def _note_fill(self, stream: Stream, state: StreamState) -> None:
        metrics.stream_fill.labels(stream.name).set(state.fill_ratio)
        was = stream.name in self._nearly_full
        is_ = state.fill_ratio >= 1 - RESERVE_RATIO
        if is_ and not was:
            self._nearly_full.add(stream.name)
            log.error("a stream is nearly full", extra={"stream": stream.name})
        elif was and not is_:
            self._nearly_full.discard(stream.name)
            log.warning("a stream has room again", extra={"stream": stream.name})

    async def _are_probes_stored(
        self, stream: Stream, state: StreamState, is_new_connection: bool
    ) -> bool:
        earlier = self._probes.get(stream.name)
        size = PROBES if is_new_connection or not earlier else 1
        newest = await self._page(stream, None, size)
        probes = [*newest, *([earlier] if earlier else [])]
        if not all(await self._are_stored(stream, state, probes)):
            return False
        if newest and not stream.newest_only:
            self._probes[stream.name] = newest[0]
        return True

    async def _publish_lost_again(self, stream: Stream) -> int:
        lost = await self._unpublish_lost(stream)
        self._probes.pop(stream.name, None)
        log.error(
            "the broker has lost events; publishing them again",
            extra={"stream": stream.name, "events": lost},
        )
        return lost

    async def _unpublish_lost(self, stream: Stream) -> int:
        """Free the lost rows for the sweep, from the last one back to those that are stored."""
        lost, stored_in_a_row = 0, 0
        before: Published | None = None
        while page := await self._page(stream, before, PAGE):
            state = await self._broker.stream_state(stream.name)
            stored = await self._are_stored(stream, state, page)
            missing = [row for row, there in zip(page, stored, strict=True) if not there]
            if missing:
                await self._database.run(partial(_unpublish, missing, self._clock()))
            lost += len(missing)
            stored_in_a_row = 0 if missing else stored_in_a_row + len(page)
            # Of a stream of newest ones any message may have been deleted.
            if lost and stored_in_a_row >= ENOUGH and not stream.newest_only:
                break
            before = page[-1]
        return lost

    async def _are_stored(
        self, stream: Stream, state: StreamState, rows: Sequence[Published]
    ) -> list[bool]:
        """Whether the stream holds each of these events at its sequence."""

        async def is_stored(row: Published) -> bool:
            if row.sequence < state.first_sequence and not stream.newest_only:
                return True  # it has expired: `deletions` has freed the others
            return await self._broker.event_at(stream.name, row.sequence) == row.event_id

        found: list[bool] = []
        for start in range(0, len(rows), ASKED_AT_ONCE):
            asked = rows[start : start + ASKED_AT_ONCE]
            found += await asyncio.gather(*(is_stored(row) for row in asked))
        return found

    async def _page(self, stream: Stream, before: Published | None, size: int) -> list[Published]:
        """Published rows, the last ones of the stream first."""
        sequence, row_id = (before.sequence, before.id) if before else (_LAST, _LAST)
        page = _page(stream)
        rows = await self._database.run(
            lambda connection: page.fetch(connection, sequence=sequence, id=row_id, size=size)
        )
        return [Published(*row) for row in rows]


@cache
def _page(stream: Stream) -> Statement:
    columns = (outbox.c.id, outbox.c.event_id, outbox.c.stream_sequence)
    here = outbox.c.stream == literal_column(f"'{stream.name}'")  # as in the indexes
    place = tuple_(outbox.c.stream_sequence, outbox.c.id)
    query = select(*columns).where(
        here,
        outbox.c.stream_sequence.is_not(None),
        place < tuple_(bindparam("sequence", type_=BigInteger), bindparam("id", type_=BigInteger)),
    )
    if stream.newest_only:
        newest = select(func.max(outbox.c.id)).where(here).group_by(newest_by(stream))
        query = query.where(outbox.c.id.in_(newest))
    query = query.order_by(outbox.c.stream_sequence.desc(), outbox.c.id.desc())
    return Statement(query.limit(bindparam("size", type_=Integer)))


def _unpublish(rows: Sequence[Published], now: datetime, connection: Connection) -> None:
    """Another instance may have published them again since: then they have other sequences."""
    _free.execute_many(connection, rows, now=now)
