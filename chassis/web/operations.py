"""The operators' routes of every service: unsettled sagas, and the events in the outbox."""

import asyncio
from datetime import datetime, timedelta
from types import GenericAlias
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Controller, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import PathParameter, QueryParameter
from litestar.types import ControllerRouterHandler
from sqlalchemy import Column, select

from chassis.outbox.relay import backlog
from chassis.participant import Participant
from chassis.service import Service
from chassis.storage.tables import in_states, outbox
from chassis.web.access import OPERATORS, READERS
from chassis.web.actions import records
from chassis.web.dependencies import AnyService
from chassis.web.schemas import View, refusals
from saga.errors import Conflict

MAX_ROWS = 1000

Key = Annotated[UUID, PathParameter(name="key")]
Age = Annotated[int, QueryParameter(name="olderThanSeconds", ge=0, le=10**9)]


class Unpublished(View):
    """An event that is stored, and not published yet."""

    event_id: str
    name: str
    subject: str
    created_at: datetime
    claimed_by: str


class EmittedEvent(View):
    """An event of the outbox. `publishedAt` is null while the broker has not acknowledged it."""

    id: str
    name: str
    service: str
    time: datetime
    cause: str | None
    published_at: datetime | None


class EmittedEvents(View):
    """The events that a service has emitted about a key."""

    items: list[EmittedEvent]


class Outbox(View):
    """`items` are the oldest unpublished events, `total` counts all of them."""

    items: list[Unpublished]
    total: int
    oldest_at: datetime | None


def check_recovery_mode(service: Service[Any]) -> None:
    """For routes that book what a restored database lacks. Raises Conflict outside of it."""
    if not service.settings.recovery_mode:
        raise Conflict("only in recovery mode is this booked", code="NOT_IN_RECOVERY_MODE")


class Operations(Controller):
    path = "/ops"
    tags = ("operations",)

    @get(
        "/outbox",
        summary="Unpublished events, the oldest first",
        guards=[READERS],
        responses=refusals(),
    )
    async def list_unpublished_events(self, service: AnyService) -> Outbox:
        """At most 1,000. While the broker answers, an event is here for milliseconds."""
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

    @get(
        "/events/{key:str}",
        summary="The events that the service has emitted about a key",
        guards=[READERS],
        responses=refusals(),
    )
    async def list_emitted_events(self, service: AnyService, key: Key) -> EmittedEvents:
        """In their order, for as long as the outbox keeps them. It needs no broker."""
        query = select(outbox).where(outbox.c.key == str(key)).order_by(outbox.c.id).limit(MAX_ROWS)
        async with service.reading() as connection:
            found = (await connection.execute(query)).all()
        return EmittedEvents(
            [
                EmittedEvent(
                    id=row.event_id,
                    name=row.name,
                    service=service.participant.name,
                    time=row.created_at,
                    cause=row.cause_id,
                    published_at=row.published_at,
                )
                for row in found
            ]
        )

    @post(
        "/seed",
        status_code=204,
        summary="Store the first data; idempotent",
        guards=[OPERATORS],
        opt=records("SEED"),
        responses=refusals(),
    )
    async def seed_first_data(self, service: AnyService) -> None:
        """What a new stack starts with, in this service. What is there stays as it is."""
        await asyncio.gather(*(service.ask(command) for command in service.participant.seed))


def _owed(saga_key: Column[str]) -> HTTPRouteHandler:
    """The route of the unsettled sagas, which shows each under its own name: `tripId`."""
    fields = [(str(saga_key.name), str), ("state", str), ("since", datetime)]
    saga = msgspec.defstruct(
        "UnsettledSaga",
        fields,
        bases=(View,),
        namespace={"__doc__": "A saga's row here."},
    )
    sagas = msgspec.defstruct(
        "UnsettledSagas",
        [("items", GenericAlias(list, saga))],
        bases=(View,),
        namespace={"__doc__": "Sagas that wait here, at most 1,000."},
    )

    async def list_unsettled_sagas(
        service: AnyService, older_than_seconds: Age = 0
    ) -> msgspec.Struct:
        """Those whose row here waits for an event or owes one."""
        rows = service.participant.saga_rows
        before = service.clock() - timedelta(seconds=older_than_seconds)
        query = (
            select(saga_key, rows.c.state, rows.c.updated_at)
            .where(in_states(rows, service.participant.unsettled), rows.c.updated_at <= before)
            .order_by(rows.c.updated_at)
            .limit(MAX_ROWS)
        )
        async with service.reading() as connection:
            found = (await connection.execute(query)).all()
        return sagas([saga(key, str(state), since) for key, state, since in found])

    list_unsettled_sagas.__annotations__["return"] = sagas
    route = get(
        "/ops/owed",
        summary="Unsettled sagas, the oldest first",
        responses=refusals(),
        guards=[READERS],
        tags=["operations"],
    )
    return route(list_unsettled_sagas)


def routes(participant: Participant[Any]) -> list[ControllerRouterHandler]:
    """The operators' routes of a participant."""
    return [Operations, _owed(participant.saga_key)]
