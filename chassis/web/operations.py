"""The operators' routes of every service: dead letters, unsettled orders, unpublished events."""

import asyncio
import hmac
from datetime import datetime, timedelta
from typing import Annotated, Any

from litestar import Controller, get, post
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.params import PathParameter, QueryParameter
from sqlalchemy import select

from chassis.outbox.relay import backlog
from chassis.processing import dead_letters
from chassis.processing.dead_letters import DeadLetter
from chassis.service import Service
from chassis.storage.tables import in_states, outbox
from chassis.web.dependencies import AnyService, Page, Paging, shown_as
from chassis.web.schemas import View, refusals
from saga.errors import NotFound, Unauthorized

MAX_ROWS = 1000

LetterId = Annotated[int, PathParameter(name="letterId")]
DeadLetters = Annotated[Page[DeadLetter], shown_as("DeadLetters")]


class UnsettledOrder(View):
    """An order whose row here waits for an event or owes one."""

    order_id: str
    state: str
    since: datetime


class UnsettledOrders(View):
    items: list[UnsettledOrder]


class Unpublished(View):
    event_id: str
    name: str
    subject: str
    created_at: datetime
    claimed_by: str


class Outbox(View):
    """`items` are the oldest unpublished events, `total` counts all of them."""

    items: list[Unpublished]
    total: int
    oldest_at: datetime | None


def operators_only(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """A guard: where OPS_TOKEN is set, a request must carry it. Raises Unauthorized."""
    service: Service[Any] = connection.app.state.service
    token = service.settings.ops_token
    sent = connection.headers.get("Authorization", "")
    if token is not None and not hmac.compare_digest(sent.encode(), f"Bearer {token}".encode()):
        raise Unauthorized("send the operators' token: Authorization: Bearer <OPS_TOKEN>")


class Operations(Controller):
    path = "/ops"
    tags = ("operations",)
    guards = (operators_only,)

    @get(
        "/dead-letters",
        summary="Dead letters, newest first",
        responses=refusals(401),
    )
    async def dead_letters(self, service: AnyService, paging: Paging) -> DeadLetters:
        async with service.reading() as connection:
            items, total = await dead_letters.page(
                connection, offset=paging.offset, size=paging.size
            )
        return paging.of(items, total)

    @post(
        "/dead-letters/{letterId:int}/redrive",
        status_code=202,
        summary="Redrive a dead letter",
        responses=refusals(401, 404),
    )
    async def redrive(self, service: AnyService, letter_id: LetterId) -> None:
        """Put a dead letter into the mailbox again. It is handled once, by its inbox row.

        `redrivenAt` is when it was handled.
        """
        if not await service.redrive(letter_id):
            raise NotFound(f"there is no dead letter {letter_id}", code="DEAD_LETTER_NOT_FOUND")

    @get(
        "/owed",
        summary="Unsettled orders, the oldest first",
        responses=refusals(401),
    )
    async def owed(
        self,
        service: AnyService,
        older_than_seconds: Annotated[
            int, QueryParameter(name="olderThanSeconds", ge=0, le=10**9)
        ] = 0,
    ) -> UnsettledOrders:
        rows = service.participant.saga_rows
        before = service.clock() - timedelta(seconds=older_than_seconds)
        query = (
            select(rows.c.order_id, rows.c.state, rows.c.updated_at)
            .where(in_states(rows, service.participant.unsettled), rows.c.updated_at <= before)
            .order_by(rows.c.updated_at)
            .limit(MAX_ROWS)
        )
        async with service.reading() as connection:
            found = (await connection.execute(query)).all()
        return UnsettledOrders(
            items=[
                UnsettledOrder(order_id=row[0], state=str(row[1]), since=row[2]) for row in found
            ]
        )

    @get(
        "/outbox",
        summary="Unpublished events, the oldest first",
        responses=refusals(401),
    )
    async def unpublished(self, service: AnyService) -> Outbox:
        columns = [outbox.c[name] for name in Unpublished.__struct_fields__]
        query = (
            select(*columns)
            .where(outbox.c.published_at.is_(None))
            .order_by(outbox.c.id)
            .limit(MAX_ROWS)
        )
        async with service.reading() as connection:
            found = (await connection.execute(query)).mappings().all()
            total, oldest = await backlog(connection)
        items = [Unpublished(**row) for row in found]
        return Outbox(items=items, total=total, oldest_at=oldest)

    @post(
        "/seed",
        status_code=204,
        summary="Store the first data; idempotent",
        responses=refusals(401),
    )
    async def seed(self, service: AnyService) -> None:
        await asyncio.gather(*(service.ask(command) for command in service.participant.seed))


ROUTES = [Operations]
