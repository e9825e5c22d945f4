"""The queue in front of a participant's state, with group commit.

Events and commands wait here. What arrives while a batch is written is the next batch: a lone
message waits for nothing, and under load many share the cost of a commit. Between the two a busy
participant lingers for a moment before it takes a batch, so that the batch grows.
"""

import asyncio
from collections import deque

from chassis.actions import RequestedAction
from chassis.observability import metrics
from chassis.processing.linger import Linger
from chassis.processing.messages import (
    CommandMessage,
    Done,
    EventMessage,
    IdempotencyKey,
    Message,
)
from saga.errors import RetryLater

MAX_BATCH = 512
EVENTS_AHEAD = 2_000
"""How many delivered events may wait in memory; the others wait at the broker."""

WORTH_A_BATCH = 200
"""A batch of this size does not linger."""


class Mailbox:
    """`capacity` bounds how many commands wait, `command_timeout_seconds` how long each of them."""

    def __init__(self, *, capacity: int, command_timeout_seconds: float) -> None:
        self._capacity = capacity
        self._command_timeout_seconds = command_timeout_seconds
        self._waiting: deque[Message] = deque()
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._linger = Linger()
        self._commands = 0
        self._events = 0

    def __len__(self) -> int:
        """The messages that have arrived and are not settled."""
        return self._events + self._commands

    def room_for_events(self) -> int:
        return EVENTS_AHEAD - self._events

    def is_calm(self) -> bool:
        """Fewer messages than a full batch wait."""
        return len(self) < MAX_BATCH

    async def ask(
        self,
        command: object,
        idempotency: IdempotencyKey | None = None,
        trace: str | None = None,
        action: RequestedAction | None = None,
    ) -> Done:
        """Execute a command; it is committed when this returns, with the entry of its `action`.

        Raises what a rule refuses it with, and RetryLater when too many wait or the database is
        away. In rare cases the command has been executed all the same, which is what idempotency
        keys are for.
        """
        name = type(command).__name__
        try:
            done = await self._ask(command, idempotency, trace, action)
        except Exception as error:
            metrics.of_command(name, type(error).__name__).inc()
            raise
        metrics.of_command(name, "replayed" if done.replayed else "done").inc()
        return done

    async def _ask(
        self,
        command: object,
        idempotency: IdempotencyKey | None,
        trace: str | None,
        action: RequestedAction | None,
    ) -> Done:
        if self._commands >= self._capacity:
            raise RetryLater("too many requests are waiting; send this one again in a second")
        loop = asyncio.get_running_loop()
        message = CommandMessage(command, loop.create_future(), idempotency, trace, action)
        self._commands += 1
        timer = loop.call_later(self._command_timeout_seconds, _time_out, message)
        try:
            self._append(message)
            return await message.future
        finally:
            timer.cancel()
            message.abandoned = True
            self._commands -= 1

    def put(self, message: EventMessage) -> None:
        """Take in an event. It is acknowledged once it is committed."""
        self._events += 1
        self._append(message)

    async def take(self) -> list[Message]:
        """The next batch, of up to `MAX_BATCH` messages; empty when all callers have left.

        To ask for the next one says that the batch before it is done.
        """
        now = asyncio.get_running_loop().time
        self._linger.batch_ended(now())
        if not self._waiting:
            self._arrived.clear()
            self._idle.set()
        await self._arrived.wait()
        linger_seconds = self._linger.linger_seconds(now())
        if linger_seconds and len(self._waiting) < WORTH_A_BATCH:
            await asyncio.sleep(linger_seconds)
        self._linger.batch_began(now())
        count = min(len(self._waiting), MAX_BATCH)
        return still_wanted([self._waiting.popleft() for _ in range(count)])

    def settle(self, events: int) -> None:
        """So many events are committed: there is room for as many others."""
        self._events -= events

    async def drained(self) -> None:
        """Wait until everything that came in is done."""
        await self._idle.wait()

    def _append(self, message: Message) -> None:
        self._waiting.append(message)
        self._idle.clear()
        self._arrived.set()


def still_wanted(messages: list[Message]) -> list[Message]:
    """Without the commands whose callers have left."""
    return [m for m in messages if isinstance(m, EventMessage) or not m.abandoned]


def _time_out(message: CommandMessage) -> None:
    message.fail(
        RetryLater(
            "the service can't write at the moment; send the request again, with the same "
            "Idempotency-Key if it had one"
        )
    )
