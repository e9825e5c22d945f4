"""Notices that the broker's store was lost or set back, and publishes again what it misses.

Every published outbox row remembers the sequence that the stream gave it. When the stream does not
hold my event at my highest sequence, its store was deleted, made anew or replaced by an older copy.
(Neither its creation time nor its last sequence can tell: the one does not change when the store is
set back, the other grows again.) Then all my rows behind the last one that still stands where it
stood count as unpublished, and the relay's sweep sends them again, under their ids: every inbox
knows those that it had.
"""

import asyncio
import logging
from collections.abc import Iterable
from datetime import datetime

import msgspec
from sqlalchemy import Connection, func, select, update

from infra.database import Database, Outage
from infra.ports import Broker, BrokerAway, Clock
from infra.tables import outbox

log = logging.getLogger(__name__)

CHECK_SECONDS = 5


class Published(msgspec.Struct, frozen=True):
    """An event of ours and where the stream holds it, as the outbox remembers it."""

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

    async def run(self) -> None:
        """Look now and then, for as long as the broker is there, until cancelled."""
        while True:
            await self._broker.wait_connected()
            for stream in self._streams:
                try:
                    await self.check(stream)
                except (Outage, BrokerAway) as error:
                    log.warning("the stream can't be checked", extra={"error": str(error)})
            await asyncio.sleep(CHECK_SECONDS)

    async def check(self, stream: str) -> int:
        """Compare the outbox with the stream. Returns how many events have to be sent again.

        Raises Outage or BrokerAway when one of the two can't be asked now.
        """
        last = await self._last_up_to(stream, None)
        if last is None or await self._stands(stream, last):
            return 0
        kept = await self._last_that_stands(stream, last.sequence)
        again = await self._database.run(
            lambda connection: _unpublish(connection, stream, kept, self._clock())
        )
        log.error(
            "the broker has lost events; sending them again",
            extra={"stream": stream, "events": again, "afterSequence": kept},
        )
        return again

    async def _last_that_stands(self, stream: str, lost: int) -> int:
        """The highest sequence at which the stream holds our event; 0 when there is none.

        A store that is set back is right up to one point and wrong behind it: bisect.
        """
        stands = 0
        while stands < lost - 1:
            middle = await self._last_up_to(stream, (stands + lost) // 2)
            ours = middle is not None and middle.sequence > stands
            if middle is not None and ours and not await self._stands(stream, middle):
                lost = middle.sequence
            else:  # all that is ours up to the middle stands
                stands = (stands + lost) // 2
        return stands

    async def _stands(self, stream: str, published: Published) -> bool:
        first = await self._broker.first_sequence(stream)
        if published.sequence < first:
            return True  # it was there, and has grown too old since
        return await self._broker.event_at(stream, published.sequence) == published.event_id

    async def _last_up_to(self, stream: str, sequence: int | None) -> Published | None:
        """Our event with the highest sequence that is not above this one."""
        found = select(outbox.c.event_id, outbox.c.stream_sequence).where(
            outbox.c.stream == stream, outbox.c.stream_sequence.is_not(None)
        )
        if sequence is not None:
            found = found.where(outbox.c.stream_sequence <= sequence)
        newest = found.order_by(outbox.c.stream_sequence.desc()).limit(1)
        row = await self._database.run(lambda connection: connection.execute(newest).one_or_none())
        return Published(row[0], row[1]) if row else None


def _unpublish(connection: Connection, stream: str, kept: int, now: datetime) -> int:
    lost = (outbox.c.stream == stream) & (outbox.c.stream_sequence > kept)
    count = connection.scalar(select(func.count()).where(lost))
    connection.execute(
        update(outbox)
        .where(lost)
        .values(published_at=None, stream_sequence=None, claimed_until=now)
    )
    return count or 0
