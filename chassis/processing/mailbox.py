"""The one door to a service's state: events and commands wait here and are worked on in batches.

Group commit: whatever has arrived while the last batch was being written is the next batch. A lone
order waits for nothing, and a crowd shares the cost of a commit. Between the two a service that has
been busy rests for a moment after each batch (`chassis/processing/linger.py`), so that the next one
grows.

Each message ends in one of three ways. Worked on (a refusal is work done: it is an event or the
client's answer). Waiting, for as long as an outage lasts; that is never held against a message. Set
aside as a dead letter: one that nobody can read, or on which our code raised `ATTEMPTS` times, the
last ones alone, so that it can't have been its neighbours' fault.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from chassis.processing.linger import Linger
from chassis.processing.messages import (
    CommandMessage,
    DeadLetterReason,
    Declined,
    Done,
    EventMessage,
    IdempotencyKey,
    Message,
    Outcome,
    Raised,
)
from saga.errors import Outage, RetryLater

log = logging.getLogger(__name__)

ATTEMPTS = 3
MAX_BATCH = 512
WORTH_A_BATCH = 200
"""When so many wait, there is nothing to rest for."""

FIRST_PAUSE_SECONDS = 0.05
MAX_PAUSE_SECONDS = 5.0

Transact = Callable[[Sequence[Message]], Awaitable[list[Outcome]]]
"""Works on a batch and commits it. Raises Outage when nothing was kept and later will do."""

Committed = Callable[[Sequence[tuple[Message, Done]]], Awaitable[None]]
"""Told after each commit what was done, to publish and to acknowledge it."""


class Mailbox:
    """`capacity` bounds how many commands wait, `command_timeout_seconds` how long each of them."""

    def __init__(
        self,
        transact: Transact,
        committed: Committed,
        *,
        capacity: int,
        command_timeout_seconds: float,
    ) -> None:
        self._transact = transact
        self._committed = committed
        self._capacity = capacity
        self._command_timeout_seconds = command_timeout_seconds
        self._waiting: deque[Message] = deque()
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._done: asyncio.Queue[Sequence[tuple[Message, Done]]] = asyncio.Queue(1)
        self._calls = 0
        self._linger = Linger()
        self.events = 0

    def __len__(self) -> int:
        return self.events + self._calls

    async def ask(
        self,
        command: object,
        idempotency: IdempotencyKey | None = None,
        trace: str | None = None,
    ) -> Done:
        """Carry out a command and commit it.

        Raises what the rules refuse it with, and RetryLater when too much is waiting or the
        database is away: then the command may, in rare cases, have been carried out all the same,
        which is what idempotency keys are for.
        """
        if self._calls >= self._capacity:
            raise RetryLater("too many requests are waiting; send this one again in a second")
        loop = asyncio.get_running_loop()
        call = CommandMessage(command, loop.create_future(), idempotency, trace)
        self._calls += 1
        patience = loop.call_later(self._command_timeout_seconds, _time_out, call)
        try:
            self._put(call)
            return await call.future
        finally:
            patience.cancel()
            call.abandoned = True
            self._calls -= 1

    def put(self, heard: EventMessage) -> None:
        """Take in an event. It is acknowledged once it is committed."""
        self.events += 1
        self._put(heard)

    async def run(self) -> None:
        """Work until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            if not self._waiting:
                self._arrived.clear()
                self._idle.set()
            await self._arrived.wait()
            await self._rest()
            if batch := self._take():
                began_at = loop.time()
                await self._work(batch)
                self._linger.worked(began_at, loop.time())

    async def tell(self) -> None:
        """Tell what was committed, batch by batch, until cancelled.

        Beside `run`, so that the next batch is written meanwhile; but never far behind it.
        """
        while True:
            done = await self._done.get()
            await self._committed(done)
            self._done.task_done()

    async def drained(self) -> None:
        """Wait until everything that came in has come to its end."""
        await self._idle.wait()
        await self._done.join()

    def _put(self, message: Message) -> None:
        self._waiting.append(message)
        self._idle.clear()
        self._arrived.set()

    async def _rest(self) -> None:
        linger_seconds = self._linger.linger_seconds(asyncio.get_running_loop().time())
        if linger_seconds and len(self._waiting) < WORTH_A_BATCH:
            await asyncio.sleep(linger_seconds)

    def _take(self) -> list[Message]:
        count = min(len(self._waiting), MAX_BATCH)
        return _still_wanted([self._waiting.popleft() for _ in range(count)])

    async def _work(self, batch: list[Message]) -> None:
        """Commit a batch, then each message that raised alone, until all have come to an end."""
        troubled = await self._commit(batch)
        while troubled:
            troubled += await self._commit([troubled.pop()])

    async def _commit(self, batch: list[Message]) -> list[Message]:
        """Commit what can be committed. Returns the messages to try again, each alone."""
        try:
            outcomes = await self._patiently(batch)
        except Exception as error:  # one of them made the whole transaction fail
            log.warning("a batch could not be committed", exc_info=error)
            if len(batch) > 1:
                return batch[::-1]
            outcomes = [Raised(error)]
        done: list[tuple[Message, Done]] = []
        again: list[Message] = []
        for message, outcome in zip(batch, outcomes, strict=True):
            match outcome:
                case Done():
                    done.append((message, outcome))
                case Declined():
                    _fail(message, outcome.error)
                case Raised():
                    again += self._after_raising(message, outcome.error)
        self.events -= sum(isinstance(message, EventMessage) for message, _ in done)
        for message, outcome in done:
            if isinstance(message, CommandMessage) and not message.future.done():
                message.future.set_result(outcome)
        await self._done.put(done)
        return again

    def _after_raising(self, message: Message, error: Exception) -> list[Message]:
        message.attempts += 1
        if message.attempts >= ATTEMPTS:
            if isinstance(message, CommandMessage):
                log.error("a command raised", exc_info=error)
                _fail(message, error)
                return []
            message.dead_letter_reason = DeadLetterReason(
                "RAISED", f"{type(error).__name__}: {error}"
            )
            log.error("a reaction raised: set aside as a dead letter", exc_info=error)
        return [message]

    async def _patiently(self, batch: list[Message]) -> list[Outcome]:
        """Wait out an outage. Clients that have given up meanwhile are left out.

        A dead letter that can't be stored is one too: it must not be lost, and nothing that stands
        in it could be the reason.
        """
        pause_seconds = FIRST_PAUSE_SECONDS
        while batch:
            try:
                return await self._transact(batch)
            except Outage as outage:
                log.warning("the database can't write; trying again", extra={"error": str(outage)})
            except Exception:
                if not _is_dead_letter(batch):
                    raise
                log.exception("a dead letter can't be stored; trying again")
            jitter = random.uniform(0.5, 1)  # noqa: S311 - spreads retries, guards nothing
            await asyncio.sleep(pause_seconds * jitter)
            pause_seconds = min(pause_seconds * 2, MAX_PAUSE_SECONDS)
            batch[:] = _still_wanted(batch)
        return []


def _is_dead_letter(batch: list[Message]) -> bool:
    return (
        len(batch) == 1
        and isinstance(batch[0], EventMessage)
        and batch[0].dead_letter_reason is not None
    )


def _still_wanted(messages: list[Message]) -> list[Message]:
    return [m for m in messages if isinstance(m, EventMessage) or not m.abandoned]


def _fail(message: Message, error: Exception) -> None:
    if isinstance(message, CommandMessage) and not message.future.done():
        message.future.set_exception(error)


def _time_out(call: CommandMessage) -> None:
    error = RetryLater(
        "the service can't write at the moment; send the request again, with the same "
        "Idempotency-Key if it had one"
    )
    _fail(call, error)
