"""The operators' routes, the same on every service: what is set aside, owed, and not yet sent."""

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
from chassis.web.schemas import Page, Size, View, refusals
from saga.errors import NotFound, Unauthorized

MAX_ROWS = 1000

LetterId = Annotated[int, PathParameter(name="letterId")]


class DeadLetters(View):
    items: list[DeadLetter]
    page: int
    size: int
    total: int


class UnsettledOrder(View):
    """An order whose row here still waits for somebody, or owes an answer."""

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
    """`items` are the oldest events that the broker does not have yet; `total` is all of them."""

    items: list[Unpublished]
    total: int
    oldest_at: datetime | None


def operators_only(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Where OPS_TOKEN is set, ask for it."""
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
        summary="Messages that were set aside, newest first",
        responses=refusals(401),
    )
    async def dead_letters(
        self, service: Service[Any], page: Page = 0, size: Size = 20
    ) -> DeadLetters:
        async with service.reading() as connection:
            items, total = await dead_letters.page(connection, offset=page * size, size=size)
        return DeadLetters(items=items, page=page, size=size, total=total)

    @post(
        "/dead-letters/{letterId:int}/redrive",
        status_code=202,
        summary="Try one once more",
        responses=refusals(401, 404),
    )
    async def redrive(self, service: Service[Any], letter_id: LetterId) -> None:
        """Put a dead letter into the mailbox again. The inbox sees to it that it acts once.

        `redrivenAt` says when it was worked on."""
        if not await service.redrive(letter_id):
            raise NotFound(f"there is no dead letter {letter_id}", code="DEAD_LETTER_NOT_FOUND")

    @get(
        "/owed",
        summary="Orders that this service waits for or owes an answer to",
        responses=refusals(401),
    )
    async def owed(
        self,
        service: Service[Any],
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
        summary="Events that are committed and not yet on the broker",
        responses=refusals(401),
    )
    async def unpublished(self, service: Service[Any]) -> Outbox:
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
        summary="Put the first data there; a second time does nothing",
        responses=refusals(401),
    )
    async def seed(self, service: Service[Any]) -> None:
        await asyncio.gather(*(service.ask(command) for command in service.participant.seed))


ROUTES = [Operations]
