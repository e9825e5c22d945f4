"""Notices that the broker's store was lost or set back, and publishes again what it misses.

Every published outbox row remembers the sequence that the stream gave it. When the stream does not
hold my event there any more, its store was deleted, made anew or replaced by an older copy.
(Neither its creation time nor its last sequence can tell: the one does not change when the store is
set back, the other grows again.) Then each row that does not stand where it stood counts as
unpublished, and the relay's sweep sends it again, under its id: every inbox knows what it had.

It looks before anything is published on a new connection, and now and then. Each look asks for two
witnesses: the row that stood last in the stream at the look before, and the one that does now. (Not
the newest row: after a loss rows are sent again in any order, and a newer one may stand before an
older one.) A stream that was lost in between fails the first, however fast it has grown since.

Behind a new connection there may be another store, of before an earlier loss even, in which one row
or the other stands in the same place by chance. So the look there asks for more, and so does the
first one, which has no witness from before.

A stream that keeps the newest message of a subject alone has replaced the older ones by itself: of
such a stream only the newest row of each key can be missed, and some of those are the witnesses.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial

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

from chassis.ports import Broker, Clock
from chassis.storage.database import Database
from chassis.storage.statements import Statement
from chassis.storage.tables import outbox
from events.contract import NEWEST_ONLY, SUBJECT_PREFIX
from saga.errors import BrokerAway, Outage

log = logging.getLogger(__name__)

CHECK_SECONDS = 5
PAGE = 500
ASKED_AT_ONCE = 50
PROBES = 20
ENOUGH = 5_000
"""So many rows in a row that stand, behind lost ones, are taken for the part that was not lost."""


_LAST = 2**63 - 1


class Published(msgspec.Struct, frozen=True):
    """An event of ours and where the stream holds it, as the outbox remembers it."""

    id: int
    event_id: str
    sequence: int


class Reconciler:
    """`streams` are those that the service publishes to."""

    def __init__(
        self, database: Database, broker: Broker, clock: Clock, streams: Iterable[str]
    ) -> None:
        self._database = database
        self._broker = broker
        self._clock = clock
        self._streams = sorted(streams)
        self._probes: dict[str, Published] = {}

    async def run(self) -> None:
        """Look now and then, for as long as the broker is there, until cancelled."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            await self._broker.wait_connected()
            try:
                await self.check_all()
            except (Outage, BrokerAway) as error:
                log.warning("the streams can't be checked", extra={"error": str(error)})

    async def check_all(self, *, anew: bool = False) -> None:
        """Check every stream that the service publishes to. Raises Outage or BrokerAway."""
        for stream in self._streams:
            await self.check(stream, anew=anew)

    async def check(self, stream: str, *, anew: bool = False) -> int:
        """Compare the outbox with the stream. Returns how many events have to be sent again.

        `anew`: on a new connection, behind which there may be another store. Raises Outage or
        BrokerAway when one of the two can't be asked now.
        """
        earlier = self._probes.get(stream)
        newest = await self._page(stream, None, PROBES if anew or not earlier else 1)
        probes = [*newest, *([earlier] if earlier else [])]
        if all(await self._stand(stream, probes)):
            if newest and stream not in NEWEST_ONLY:
                self._probes[stream] = newest[0]
            return 0
        again = await self._unpublish_lost(stream)
        self._probes.pop(stream, None)
        log.error(
            "the broker has lost events; sending them again",
            extra={"stream": stream, "events": again},
        )
        return again

    async def _unpublish_lost(self, stream: str) -> int:
        """Go back through the outbox to what was not lost, and free for the sweep what was."""
        lost, run_of_standing = 0, 0
        before: Published | None = None
        while page := await self._page(stream, before, PAGE):
            stand = await self._stand(stream, page)
            missing = [row.id for row, there in zip(page, stand, strict=True) if not there]
            if missing:
                await self._database.run(partial(_unpublish, missing, self._clock()))
            lost += len(missing)
            run_of_standing = 0 if missing else run_of_standing + len(page)
            if lost and run_of_standing >= ENOUGH:
                break
            before = page[-1]
        return lost

    async def _stand(self, stream: str, rows: Sequence[Published]) -> list[bool]:
        """Does the stream hold each of these events where the outbox says?"""
        first = await self._broker.first_sequence(stream)

        async def stands(row: Published) -> bool:
            if row.sequence < first:
                return True  # it was there, and has grown too old since
            return await self._broker.event_at(stream, row.sequence) == row.event_id

        found: list[bool] = []
        for start in range(0, len(rows), ASKED_AT_ONCE):
            asked = rows[start : start + ASKED_AT_ONCE]
            found += await asyncio.gather(*(stands(row) for row in asked))
        return found

    async def _page(self, stream: str, before: Published | None, size: int) -> list[Published]:
        """Published rows, those that stand last in the stream first."""
        sequence, row_id = (before.sequence, before.id) if before else (_LAST, _LAST)
        page = _pages[stream]
        rows = await self._database.run(
            lambda connection: page.rows(connection, sequence, row_id, size)
        )
        return [Published(*row) for row in rows]


def _page(stream: str) -> Statement:
    columns = (outbox.c.id, outbox.c.event_id, outbox.c.stream_sequence)
    here = outbox.c.stream == literal_column(f"'{stream}'")  # as the indexes say it
    place = tuple_(outbox.c.stream_sequence, outbox.c.id)
    query = select(*columns).where(
        here,
        outbox.c.stream_sequence.is_not(None),
        place < tuple_(bindparam("sequence", type_=BigInteger), bindparam("id", type_=BigInteger)),
    )
    if stream in NEWEST_ONLY:
        newest = select(func.max(outbox.c.id)).where(here).group_by(outbox.c.key)
        query = query.where(outbox.c.id.in_(newest))
    query = query.order_by(outbox.c.stream_sequence.desc(), outbox.c.id.desc())
    return Statement(query.limit(bindparam("size", type_=Integer)), "sequence", "id", "size")


_pages = {stream: _page(stream) for stream in SUBJECT_PREFIX}


def _unpublish(ids: Sequence[int], now: datetime, connection: Connection) -> None:
    free = {"published_at": None, "stream_sequence": None, "claimed_until": now}
    connection.execute(update(outbox).where(outbox.c.id.in_(ids)).values(free))
