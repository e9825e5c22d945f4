"""Removes, in small steps, what has been settled for longer than the retention time."""

import asyncio
import logging
from contextlib import suppress
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, delete, func, select, tuple_

from chassis.participant import Participant
from chassis.ports import Clock
from chassis.settings import Settings
from chassis.storage.database import Database
from chassis.storage.tables import audit_log, idempotency_keys, in_states, inbox, outbox, repeats
from saga.errors import Outage

log = logging.getLogger(__name__)

EVERY_SECONDS = 60
STEADY_SECONDS = 3600
"""So long after the start, or after the clock was set, nothing is removed: while the clock is wrong
fresh rows look old, and an event whose inbox row is gone would be handled twice."""

JUMP_SECONDS = 10
ROWS_AT_ONCE = 500


class Retention:
    """`settings.retention_seconds`: how long what is settled is kept."""

    def __init__(
        self, participant: Participant[Any], database: Database, clock: Clock, settings: Settings
    ) -> None:
        self._participant = participant
        self._database = database
        self._clock = clock
        self._retention_seconds = settings.retention_seconds
        self._ahead: float | None = None
        self._steady_since = 0.0
        self._kept_by_saga = [
            stream.name
            for stream in participant.reactions.contract.streams.values()
            if not stream.newest_only
        ]

    async def run(self) -> None:
        """Until cancelled. Each step waits for its turn behind the batches."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            if not self._is_clock_steady():
                continue
            with suppress(Outage):
                while await self._database.run(self._remove_some):
                    pass

    def _is_clock_steady(self) -> bool:
        """Has the clock run for `STEADY_SECONDS` like the monotonic one?"""
        monotonic = asyncio.get_running_loop().time()
        ahead = self._clock().timestamp() - monotonic
        if self._ahead is None or abs(ahead - self._ahead) > JUMP_SECONDS:
            if self._ahead is not None:
                log.warning("the clock was set", extra={"seconds": round(ahead - self._ahead)})
            self._ahead, self._steady_since = ahead, monotonic
        return monotonic - self._steady_since >= STEADY_SECONDS

    def _remove_some(self, connection: Connection) -> int:
        now = self._clock()
        before = now - timedelta(seconds=self._retention_seconds)
        # The database's clock decides, too: its trigger would refuse what is not over by that one.
        until = audit_log.c.kept_until
        is_over = (until < now) & (until < func.current_timestamp())
        unsettled = select(self._participant.saga_key).where(
            in_states(self._participant.saga_rows, self._participant.unsettled)
        )
        published = (
            (outbox.c.published_at < before)
            & outbox.c.stream.in_(self._kept_by_saga)
            & outbox.c.key.not_in(unsettled)
        )
        keys = idempotency_keys
        removed = 0
        for condition, *key in (
            (inbox.c.received_at < before, inbox.c.event_id),
            (published, outbox.c.event_id),
            (keys.c.created_at < before, keys.c.key, keys.c.scope),
            (repeats.c.next_at < before, repeats.c.saga_key),
            (is_over, audit_log.c.id),
        ):
            some = select(*key).where(condition).limit(ROWS_AT_ONCE)
            gone = delete(key[0].table).where(tuple_(*key).in_(some))
            removed += connection.execute(gone).rowcount
        return removed
