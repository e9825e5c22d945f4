"""The operators' routes for dead letters: list, redrive, dismiss, preview."""

from typing import Annotated

from litestar import Controller, Response, get, post
from litestar.params import JSONBody, PathParameter

from chassis.processing import dead_letters
from chassis.processing.dead_letters import DeadLetter
from chassis.processing.preview import Preview
from chassis.web.access import OPERATORS, READERS
from chassis.web.actions import records
from chassis.web.dependencies import AnyService, Page, Paging, shown_as
from chassis.web.error_codes import DEAD_LETTER_DONE, DEAD_LETTER_NOT_FOUND
from chassis.web.schemas import Body, Text, answered, refusals

LetterId = Annotated[int, PathParameter(name="letterId")]
DeadLetters = Annotated[Page[DeadLetter], shown_as("DeadLetters")]


class Dismissal(Body):
    """Why a dead letter is given up."""

    reason: Text


class DeadLetterController(Controller):
    path = "/ops/dead-letters"
    tags = ("operations",)

    @get(summary="Dead letters, newest first", guards=[READERS], responses=refusals())
    async def list_dead_letters(self, service: AnyService, paging: Paging) -> DeadLetters:
        """Messages that this service could not handle, with the reason.

        OPEN and FAILED_AGAIN ones wait for an operator.
        """
        async with service.reading() as connection:
            items, total = await dead_letters.page(
                connection, offset=paging.offset, size=paging.size
            )
        return paging.of(items, total)

    @post(
        "/{letterId:int}/redrive",
        status_code=200,
        summary="Redrive a dead letter",
        guards=[OPERATORS],
        opt=records("DEAD_LETTER_REDRIVE", on="letterId"),
        responses=refusals(DEAD_LETTER_NOT_FOUND, DEAD_LETTER_DONE)
        | {202: answered(DeadLetter, "The outcome is not known yet: look at the letter again")},
    )
    async def redrive_dead_letter(
        self, service: AnyService, letter_id: LetterId
    ) -> Response[DeadLetter]:
        """Handle a dead letter again, and wait up to 5 s for the outcome.

        The letter is then REDRIVEN or FAILED_AGAIN. It is handled once, by its inbox row: a letter
        that is REDRIVEN already stays as it is. 409 for one that is DISMISSED.
        """
        letter, is_settled = await service.redriving.redrive(letter_id)
        return Response(letter, status_code=200 if is_settled else 202)

    @post(
        "/{letterId:int}/dismiss",
        status_code=200,
        summary="Give a dead letter up",
        guards=[OPERATORS],
        opt=records("DEAD_LETTER_DISMISS", on="letterId"),
        responses=refusals(DEAD_LETTER_NOT_FOUND, DEAD_LETTER_DONE, body=True),
    )
    async def dismiss_dead_letter(
        self, service: AnyService, letter_id: LetterId, data: JSONBody[Dismissal]
    ) -> DeadLetter:
        """It is never redriven after that. 409 for one that is REDRIVEN."""
        return await service.redriving.dismiss(letter_id, data.reason)

    @get(
        "/{letterId:int}/preview",
        summary="What a redrive would do now",
        guards=[READERS],
        responses=refusals(DEAD_LETTER_NOT_FOUND),
    )
    async def preview_dead_letter(self, service: AnyService, letter_id: LetterId) -> Preview:
        """The reaction runs on today's rows, and nothing of it is kept."""
        return await service.redriving.preview(letter_id)
