"""One batch in one transaction on the participant's database."""

from collections.abc import Sequence
from time import perf_counter
from typing import Generic

from sqlalchemy import Connection

from chassis.components import Components
from chassis.observability import metrics
from chassis.outbox.relay import Relay, mark_published
from chassis.participant import Participant, U
from chassis.ports import Clock
from chassis.processing.batch import Batch
from chassis.processing.external_calls import ExternalCalls
from chassis.processing.messages import Message, Outcome
from chassis.storage.database import Database


class Transaction(Generic[U]):
    """Writes batches, with the publications that the relay has to mark.

    After the commit `components` see the unit of work, and the external calls begin that it asks
    for.
    """

    def __init__(
        self,
        participant: Participant[U],
        database: Database,
        relay: Relay,
        clock: Clock,
        external_calls: ExternalCalls,
        components: Components[U],
        batch_type: type[Batch[U]] = Batch,
    ) -> None:
        self._participant = participant
        self._database = database
        self._relay = relay
        self._clock = clock
        self._external_calls = external_calls
        self._components = components
        self._batch_type = batch_type

    async def __call__(self, messages: Sequence[Message]) -> list[Outcome]:
        """Commit a batch. Returns an outcome for each message.

        Raises Outage when nothing was kept and the same succeeds later, and whatever makes the
        transaction fail as a whole.
        """
        batch = self._batch_type(self._participant, self._relay.claim, self._clock())
        began_at = perf_counter()
        with self._relay.acknowledgements() as acknowledgements:

            def work(connection: Connection) -> list[Outcome]:
                mark_published(acknowledgements, connection)
                return batch.run(connection, messages)

            outcomes = await self._database.run(work, messages=len(messages))
        self._components.committed(batch.uow)
        self._external_calls.offer(batch.uow.external_calls)
        metrics.batch_seconds.observe(perf_counter() - began_at)
        metrics.batch_size.observe(len(messages))
        return outcomes
