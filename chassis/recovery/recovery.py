"""Recovery mode and the way out of it, as a service uses them."""

import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from chassis.participant import Participant
from chassis.ports import Broker, Clock
from chassis.processing.batch import Batch
from chassis.recovery.adoption import Adopter
from chassis.recovery.verdicts import RecoveringBatch
from chassis.recovery.verification import Verification
from chassis.settings import Settings
from chassis.storage.database import Database
from saga.errors import Outage

log = logging.getLogger(__name__)


class Recovery:
    """One for each instance. `verify_outbox` compares the streams with the outbox."""

    def __init__(
        self,
        participant: Participant[Any],
        database: Database,
        broker: Broker,
        clock: Clock,
        settings: Settings,
        verify_outbox: Callable[[], Awaitable[None]],
    ) -> None:
        self._is_active = settings.recovery_mode
        self._adopter = Adopter(participant, database, broker, clock)
        self._verification = Verification(
            participant,
            database,
            broker,
            clock,
            settings.retention_seconds,
            timedelta(days=settings.audit_log_days),
        )
        self._verify_outbox = verify_outbox
        self.watch = self._verification.watch

    @property
    def batch_type(self) -> type[Batch[Any]]:
        return RecoveringBatch if self._is_active else Batch

    async def verify(self) -> None:
        """On a new connection, before anything is published or consumed on it. Raises Outage."""
        try:
            if self._is_active:
                await self._adopter.adopt_all()
            else:
                await self._verification.verify()
                await self._verify_outbox()
        except Outage:
            raise
        except Exception as error:
            log.exception("the streams can't be verified; trying again")
            raise Outage(repr(error)) from error
