"""The loop of a participant: takes a batch, commits it, answers, publishes and acknowledges.

A message is done when its transaction is committed; a refusal is done too: it is an event, or the
client's answer. It waits for as long as an outage lasts, which is never held against it. A
malformed event, and one on which the code raised `ATTEMPTS` times, becomes a dead letter; the
client of such a command gets an error. The last attempts are alone, so that no other message of a
batch can have been the reason.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence

from chassis.processing.mailbox import Mailbox, still_wanted
from chassis.processing.messages import (
    CommandMessage,
    DeadLetterReason,
    Declined,
    Done,
    EventMessage,
    Message,
    Outcome,
    Raised,
)
from saga.errors import Outage

log = logging.getLogger(__name__)

ATTEMPTS = 3
FIRST_PAUSE_SECONDS = 0.05
MAX_PAUSE_SECONDS = 5.0


Transact = Callable[[Sequence[Message]], Awaitable[list[Outcome]]]
"""Writes a batch in one transaction. See `chassis.processing.transaction`."""

Follow = Callable[[Sequence[tuple[Message, Done]]], None]
"""Publishes and acknowledges what is done. See `chassis.processing.after_commit`."""


class Processor:
    """One for each instance."""

    def __init__(self, mailbox: Mailbox, transact: Transact, after_commit: Follow) -> None:
        self._mailbox = mailbox
        self._transact = transact
        self._after_commit = after_commit

    async def run(self) -> None:
        """The loop, until cancelled."""
        while True:
            batch = await self._mailbox.take()
            raised = await self._process(batch)
            for message in raised:
                await self._isolate(message)

    async def _process(self, batch: list[Message]) -> list[Message]:
        """Commit, answer the clients, then publish and acknowledge. Returns what raised."""
        outcomes = await self._commit(batch)
        done, raised = self._resolve(batch, outcomes)
        self._after_commit(done)
        return raised

    async def _isolate(self, message: Message) -> None:
        """Try a message that raised alone, until it is done or a dead letter."""
        raised = [message]
        while raised:
            raised = await self._process(raised)

    async def _commit(self, batch: list[Message]) -> list[Outcome]:
        """Group commit: one transaction for all, tried for as long as an outage lasts.

        Callers who have given up meanwhile are left out. A dead letter that can't be stored is
        tried again too: it must not be lost, and its content can't be the reason.
        """
        pause_seconds = FIRST_PAUSE_SECONDS
        while batch:
            try:
                return await self._transact(batch)
            except Outage:
                pass  # the database logs it
            except Exception as error:
                if not _is_dead_letter(batch):
                    log.warning("a batch could not be committed", exc_info=error)
                    return [Raised(error, is_blamed=len(batch) == 1)] * len(batch)
                log.exception("a dead letter can't be stored; trying again")
            jitter = random.uniform(0.5, 1)  # noqa: S311 - spreads retries, guards nothing
            await asyncio.sleep(pause_seconds * jitter)
            pause_seconds = min(pause_seconds * 2, MAX_PAUSE_SECONDS)
            batch[:] = still_wanted(batch)
        return []

    def _resolve(
        self, batch: list[Message], outcomes: list[Outcome]
    ) -> tuple[list[tuple[Message, Done]], list[Message]]:
        """Answer the commands. Returns what is done, and what raised and is tried again."""
        done: list[tuple[Message, Done]] = []
        raised: list[Message] = []
        for message, outcome in zip(batch, outcomes, strict=True):
            match outcome:
                case Done():
                    done.append((message, outcome))
                    if isinstance(message, CommandMessage):
                        message.succeed(outcome)
                case Declined():
                    assert isinstance(message, CommandMessage)
                    message.fail(outcome.error)
                case Raised():
                    if not outcome.is_blamed or _try_again(message, outcome.error):
                        raised.append(message)
        self._mailbox.settle(sum(isinstance(message, EventMessage) for message, _ in done))
        return done, raised


def _try_again(message: Message, error: Exception) -> bool:
    """Count an attempt. False for a command that has had its last one: its caller is told.

    An event that has had its last one is tried once more, as a dead letter.
    """
    message.attempts += 1
    if message.attempts < ATTEMPTS:
        return True
    if isinstance(message, CommandMessage):
        log.error("a command raised", exc_info=error)
        message.fail(error)
        return False
    message.dead_letter_reason = DeadLetterReason("RAISED", f"{type(error).__name__}: {error}")
    log.error("a reaction raised: the message becomes a dead letter", exc_info=error)
    return True


def _is_dead_letter(batch: list[Message]) -> bool:
    if len(batch) != 1:
        return False
    [message] = batch
    return isinstance(message, EventMessage) and message.dead_letter_reason is not None
