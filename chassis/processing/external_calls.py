"""Calls to outside systems: made after the commit that decided on them, never in a transaction.

A reaction adds an errand to its working set. Once that is committed the errand is carried out here,
beside the mailbox, and what came of it goes into the mailbox as a command.

Errands live in memory alone. What each is for stands in a row, and a timer sends for it again when
it was lost or nobody knows what came of it. So an errand may be carried out twice: whoever is
called knows it by its idempotency key.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from chassis.ports import ExternalSystem
from chassis.processing.messages import Done
from saga.errors import Outage, RetryLater

log = logging.getLogger(__name__)

AT_ONCE = 64
MAX_BACKLOG = 1_000
TELL_AGAIN_SECONDS = 0.2


class NoExternalSystem:
    """For a service that has nothing to do with the outside."""

    async def __call__(self, call: object, /) -> object:
        raise Outage(f"there is nobody to carry out {call}")

    def told(self, answer: object) -> None:
        """Nobody is told."""

    async def close(self) -> None:
        """There is nothing to close."""


NO_EXTERNAL_SYSTEM = NoExternalSystem()


class ExternalCalls:
    """One per instance, with `AT_ONCE` calls at a time. `tell` hands a command to the mailbox."""

    def __init__(self, execute: ExternalSystem, tell: Callable[[object], Awaitable[Done]]) -> None:
        self._carry_out = execute
        self._tell = tell
        self._room = asyncio.Semaphore(AT_ONCE)
        self._under_way: dict[object, asyncio.Task[Done | None]] = {}

    def offer(self, external_calls: Iterable[object]) -> None:
        """Begin these. What is too much now is left to the timer that sends for it again."""
        for call in external_calls:
            if len(self._under_way) < MAX_BACKLOG:
                self._begin(call)

    async def join(self, call: object) -> Done | None:
        """Wait for an errand's end, and begin it if it is not under way. None: nobody knows it."""
        return await asyncio.shield(self._begin(call))

    async def drained(self) -> None:
        """Wait for what is under way."""
        while self._under_way:
            await asyncio.wait(list(self._under_way.values()))

    async def close(self) -> None:
        """What is under way is left: it will be sent for again."""
        under_way = list(self._under_way.values())
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        await self._carry_out.close()

    def _begin(self, call: object) -> asyncio.Task[Done | None]:
        task = self._under_way.get(call)
        if task is None:
            task = self._under_way[call] = asyncio.create_task(self._one(call))
            task.add_done_callback(lambda _: self._under_way.pop(call))
        return task

    async def _one(self, call: object) -> Done | None:
        try:
            async with self._room:
                command = await self._carry_out(call)
            done = await self._insist(command)
            self._carry_out.told(done.answer)
            return done
        except Outage as outage:
            log.warning("an outcome is not known yet", extra={"error": str(outage)})
        except Exception:
            log.exception("an errand broke; it will be sent for again")
        return None

    async def _insist(self, command: object) -> Done:
        """The outcome is known: it must not get lost because the database is away."""
        while True:
            try:
                return await self._tell(command)
            except RetryLater:
                await asyncio.sleep(TELL_AGAIN_SECONDS)
