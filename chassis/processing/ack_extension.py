"""Tells the broker of messages that take long, so that it does not deliver them again meanwhile."""

import asyncio

from chassis.broker.declaration import ACK_WAIT_SECONDS
from chassis.processing.messages import EventMessage


class AckExtension:
    """Extends the acknowledgement deadline of each message that is not committed yet."""

    def __init__(self) -> None:
        self._unacknowledged: set[EventMessage] = set()

    def watch(self, message: EventMessage) -> None:
        self._unacknowledged.add(message)

    def forget(self, message: EventMessage) -> None:
        self._unacknowledged.discard(message)

    async def run(self) -> None:
        """Three times in each acknowledgement wait, until cancelled."""
        seen_before: set[EventMessage] = set()
        while True:
            await asyncio.sleep(ACK_WAIT_SECONDS / 3)
            for message in seen_before & self._unacknowledged:
                await message.delivery.in_progress()
            seen_before = set(self._unacknowledged)
