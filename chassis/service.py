"""A service: one instance of one participant, and its life cycle."""

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from chassis.participant import U
from chassis.parts import Parts
from chassis.processing.timers import watch
from chassis.storage import tables
from saga.errors import Outage

log = logging.getLogger(__name__)

FINISH_SECONDS = 3
OPEN_AGAIN_SECONDS = 1.0


class Service(Parts[U]):
    """Starts and stops its parts. What it takes from others is in `Parts`."""

    async def start(self) -> None:
        """Create the tables, then work. Database and broker may come later.

        Raises ConfigurationError when the database can't be used.
        """
        try:
            await self._open()
        except Outage:
            self.loops.start_later(self._start_later())
        else:
            await self._begin()

    async def _start_later(self) -> None:
        """Wait for the database. Until it is there, requests are answered by RetryLater."""
        while True:
            await asyncio.sleep(OPEN_AGAIN_SECONDS)
            with suppress(Outage):
                await self._open()
                break
        await self._begin()

    async def _open(self) -> None:
        """Raises Outage. An upgrade's deadlock with an older instance that runs is one too."""
        await self.database.create(
            tables.metadata,
            self.participant.schema,
            history=self.participant.history,
            statements=tables.newest_only_indexes(self.participant.reactions.published_streams),
        )
        await self.outbox.prepare()

    async def _begin(self) -> None:
        self.has_started = True
        self.loops.start(self._coroutines())
        await self.components.start(self)
        await self.broker.start(self.receive, self.mailbox.room_for_events, self.recovery.verify)

    def _coroutines(self) -> list[Coroutine[Any, Any, None]]:
        """What it does all the time. In recovery mode it replays events and publishes nothing."""
        loops = [self.processor.run(), self.ack_extension.run(), self.database.watch()]
        loops.append(self.audit_log.run())
        if self.settings.recovery_mode:
            log.warning("in recovery mode: it replays the streams and publishes nothing")
            return loops
        timers = (
            watch(each, self.reading, self.clock, self.settings, self.ask)
            for each in self.participant.timers
        )
        loops += [self.retention.run(), self.recovery.watch(), *timers, *self.outbox.loops()]
        return loops

    async def stop(self) -> None:
        """Finish what was begun, as far as that goes quickly, and release everything.

        What is not committed by then is delivered again, what is not published is swept up.
        """
        if self.has_started:
            await self._finish()
        await self.external_calls.close()
        await self.components.close()
        await self.loops.stop()
        if self.has_started:
            await self.outbox.close()
            await self.audit_log.close()
        await self.database.close()

    async def _finish(self) -> None:
        await self.broker.stop_delivering()
        with suppress(TimeoutError):
            async with asyncio.timeout(FINISH_SECONDS):
                await self.mailbox.drained()
                await self.external_calls.drained()
                await self.outbox.relay.drained()
        await self.broker.stop()
