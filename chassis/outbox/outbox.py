"""The outbox of a service: relay, reconciliation and retransmission put together."""

from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any

from chassis.outbox.reconciliation import Reconciler
from chassis.outbox.relay import Relay, mark_published
from chassis.outbox.retransmission import Retransmitter
from chassis.participant import Participant
from chassis.ports import Broker, Clock
from chassis.settings import Settings
from chassis.storage.database import Database
from saga.errors import Outage


class Outbox:
    """One for each instance. `is_calm`: little waits in the mailbox, so load delays no saga."""

    def __init__(
        self,
        participant: Participant[Any],
        database: Database,
        broker: Broker,
        clock: Clock,
        settings: Settings,
        is_calm: Callable[[], bool],
    ) -> None:
        self._participant = participant
        self._database = database
        self._broker = broker
        self._publishes = not settings.recovery_mode
        self.relay = Relay(
            database,
            broker,
            clock,
            service=participant.name,
            instance=settings.instance,
            personal=frozenset(
                stream.name
                for stream in participant.reactions.published_streams
                if stream.is_personal
            ),
        )
        self.reconciler = Reconciler(
            database, broker, clock, participant.reactions.emits, lambda: self.relay.marked
        )
        self.retransmitter = Retransmitter(
            participant,
            database,
            broker,
            clock,
            after_seconds=settings.retransmit_after_seconds,
            is_calm=is_calm,
        )

    @property
    def has_room(self) -> bool:
        """Whether another saga may begin: its events, and those that follow, can be stored."""
        return not self.reconciler.are_streams_nearly_full and not self._broker.is_full

    async def prepare(self) -> None:
        """Free the rows that this instance had claimed before its end."""
        await self._database.run(self.relay.forget_claims)

    def loops(self) -> list[Coroutine[Any, Any, None]]:
        """Its loops; none in recovery mode and none for a participant that emits no event."""
        if not self._publishes or not self._participant.reactions.emits:
            return []
        return [self.relay.run(), self.reconciler.run(), self.retransmitter.run()]

    async def verify(self) -> None:
        """Compare the streams with the outbox on a new connection. Raises Outage."""
        await self.relay.forget_acknowledgements()
        await self.reconciler.check_all(is_new_connection=True)

    async def close(self) -> None:
        """Mark the last acknowledged rows. Rows that can't be marked are published again."""
        with suppress(Outage), self.relay.acknowledgements() as acknowledgements:
            await self._database.run(partial(mark_published, acknowledgements))
