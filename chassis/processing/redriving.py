"""What operators do with a dead letter: redrive it, dismiss it, or look what a redrive would do."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

from sqlalchemy import Connection, RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis import actions, audit_log
from chassis.actions import ActionOutcome
from chassis.participant import Participant
from chassis.ports import Clock, DeliveredMessage
from chassis.processing import dead_letters, preview
from chassis.processing.dead_letters import DeadLetter, LetterStatus, Redelivery
from chassis.processing.preview import Preview
from chassis.storage.database import Database
from saga.errors import Conflict, NotFound, Outage

REDRIVE_SECONDS = 5.0


class Redriving:
    """One for each instance. `receive` puts a message into its mailbox.

    All of it raises NotFound for a letter that there is not, and RetryLater or Outage while the
    database is away.
    """

    def __init__(
        self,
        participant: Participant[Any],
        database: Database,
        reading: Callable[[], AbstractAsyncContextManager[AsyncConnection]],
        receive: Callable[[DeliveredMessage], None],
        clock: Clock,
    ) -> None:
        self._participant = participant
        self._database = database
        self._reading = reading
        self._receive = receive
        self._clock = clock

    async def redrive(self, letter_id: int) -> tuple[DeadLetter, bool]:
        """Handle a dead letter again, and wait up to `REDRIVE_SECONDS` for the outcome.

        Returns the letter, and whether the outcome is known. A letter that is REDRIVEN already
        stays as it is. Raises Conflict for a dismissed one.
        """
        row = await self._find(letter_id)
        letter = dead_letters.view(row)
        if letter.status is LetterStatus.DISMISSED:
            raise _done(letter)
        if letter.status is LetterStatus.REDRIVEN:
            return letter, True
        redelivery = Redelivery(row, actions.take())
        self._receive(redelivery)
        try:
            async with asyncio.timeout(REDRIVE_SECONDS):
                await redelivery.is_settled.wait()
        except TimeoutError:
            return letter, False
        return dead_letters.view(await self._find(letter_id)), True

    async def dismiss(self, letter_id: int, reason: str) -> DeadLetter:
        """Give a dead letter up. One that is dismissed already keeps its reason.

        Raises Conflict for one that is REDRIVEN.
        """
        await self._find(letter_id)
        now, action = self._clock(), actions.take()

        def work(connection: Connection) -> None:
            is_dismissed = dead_letters.dismiss(connection, letter_id, reason, now)
            if action and is_dismissed:
                audit_log.append(connection, [action.entry(ActionOutcome.DONE, now)])

        await self._database.run(work)
        letter = dead_letters.view(await self._find(letter_id))
        if letter.status is not LetterStatus.DISMISSED:
            raise _done(letter)
        return letter

    async def preview(self, letter_id: int) -> Preview:
        """What a redrive would do now. It writes nothing, and calls no external system."""
        row = await self._find(letter_id)
        status = LetterStatus(row["state"])
        if status.is_done:
            return preview.nothing(f"the dead letter is {status}")
        work = partial(preview.rehearse, self._participant, Redelivery(row), self._clock())
        try:
            return await self._database.run(work)
        except Outage:
            raise
        except Exception as error:  # noqa: BLE001 - the processor takes any error for a failure
            return preview.failure(f"{type(error).__name__}: {error}")

    async def _find(self, letter_id: int) -> RowMapping:
        async with self._reading() as connection:
            row = await dead_letters.find(connection, letter_id)
        if row is None:
            raise NotFound(
                f"there is no dead letter {letter_id}",
                code="DEAD_LETTER_NOT_FOUND",
                values={"letterId": letter_id},
            )
        return row


def _done(letter: DeadLetter) -> Conflict:
    return Conflict(
        f"dead letter {letter.id} is {letter.status}: nothing is left to do with it",
        code="DEAD_LETTER_DONE",
        values={"letterId": letter.id, "status": letter.status},
    )
