"""Calls to external systems: made after the commit that decided on them, never in a transaction.

A reaction adds a call to its unit of work. Once that is committed the call is executed here, beside
the mailbox, and its outcome goes into the mailbox as a command.

Calls live in memory alone. What each is for stands in a row, and a timer begins it again when it
was lost or its outcome is unknown. So a call may be executed twice: the external system recognises
it by its idempotency key.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping

from chassis.ports import ExternalSystem
from chassis.processing.messages import Done
from saga.errors import Outage, RetryLater

log = logging.getLogger(__name__)

AT_ONCE = 64
MAX_BACKLOG = 1_000
RETRY_SECONDS = 0.2


class NoExternalSystem:
    """For a service that calls no external system."""

    async def __call__(self, call: object, /) -> object:
        raise Outage(f"no external system is configured for {call}")

    def problems(self) -> Mapping[str, str | None]:
        return {}

    async def close(self) -> None:
        """There is nothing to close."""


NO_EXTERNAL_SYSTEM = NoExternalSystem()


class ExternalCalls:
    """One for each instance, with `AT_ONCE` calls at a time. `ask` puts a command into the mailbox.

    `is_paused`: calls are not begun; after the pause their timers begin them.
    """

    def __init__(
        self,
        execute: ExternalSystem,
        ask: Callable[[object], Awaitable[Done]],
        *,
        is_paused: bool = False,
    ) -> None:
        self._execute = execute
        self._ask = ask
        self._is_paused = is_paused
        self._room = asyncio.Semaphore(AT_ONCE)
        self._under_way: dict[object, asyncio.Task[Done | None]] = {}

    def offer(self, calls: Iterable[object]) -> None:
        """Begin these. What is too much now is left to the timer that begins it again."""
        if self._is_paused:
            return
        for call in calls:
            if len(self._under_way) < MAX_BACKLOG:
                self._begin(call)

    async def join(self, call: object) -> Done | None:
        """Wait for a call's end, and begin it if it is not under way. None: outcome unknown."""
        return await asyncio.shield(self._begin(call))

    def problems(self) -> Mapping[str, str | None]:
        """What is wrong with each external system, by its name; None where nothing is."""
        return self._execute.problems()

    async def drained(self) -> None:
        """Wait for the calls under way."""
        while self._under_way:
            await asyncio.wait(list(self._under_way.values()))

    async def close(self) -> None:
        """Calls under way are cancelled: their timers begin them again."""
        under_way = list(self._under_way.values())
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        await self._execute.close()

    def _begin(self, call: object) -> asyncio.Task[Done | None]:
        task = self._under_way.get(call)
        if task is None:
            task = self._under_way[call] = asyncio.create_task(self._one(call))
            task.add_done_callback(lambda _: self._under_way.pop(call))
        return task

    async def _one(self, call: object) -> Done | None:
        try:
            async with self._room:
                command = await self._execute(call)
            return await self._record(command)
        except Outage as outage:
            log.warning("the outcome of a call is unknown", extra={"error": str(outage)})
        except Exception:
            log.exception("an external call failed; it will be begun again")
        return None

    async def _record(self, command: object) -> Done:
        """The outcome is known: it must not get lost because the database is away."""
        while True:
            try:
                return await self._ask(command)
            except RetryLater:
                await asyncio.sleep(RETRY_SECONDS)
