"""`/health/live`, `/health/ready` and `/metrics`."""

import asyncio
from contextlib import suppress
from typing import Any

import msgspec
from litestar import Response, get
from litestar.enums import MediaType
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from chassis.observability import metrics
from chassis.outbox.relay import backlog
from chassis.processing import dead_letters
from chassis.service import Service
from chassis.web.dependencies import AnyService
from chassis.web.schemas import answered
from saga.errors import RetryLater

MAX_OUTBOX_AGE_SECONDS = 30
DATABASE_TIMEOUT_SECONDS = 2


class Check(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`required`: without it the probe answers 503. The others are for operators (decision 29).

    `external`: it is about an external system.
    """

    ok: bool
    detail: str
    required: bool = True
    external: bool = False


class Health(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a probe found."""

    status: str
    checks: dict[str, Check]


@get(
    "/health/live",
    tags=["health"],
    summary="Does the process run?",
    responses={503: answered(Health, "A loop has ended: restart the process")},
)
async def get_liveness(service: AnyService) -> Response[Health]:
    """200 while all loops of the service run, else 503: then restart it."""
    loops = Check(
        ok=service.loops.all_run,
        detail="all loops run" if service.loops.all_run else "a loop has ended",
    )
    return _response({"loops": loops}, "alive", "broken")


@get(
    "/health/ready",
    tags=["health"],
    summary="Shall requests be sent to it?",
    responses={503: answered(Health, "It can't answer requests now")},
)
async def get_readiness(service: AnyService) -> Response[Health]:
    """200 when it can answer requests, else 503: its database answers, and it is not stopping.

    The checks that are not `required` are shown only. While the broker is away commands are
    executed, and their events are published later; while nothing can be written, reads are answered
    and commands get 503. What needs an external system that is away waits for it.
    """
    connected = service.broker.connected
    checks = {
        "database": await _database(service),
        "writing": _shown(service.database.writes, "works", "fails; trying again"),
        "broker": _shown(connected, "connected", "away; reconnecting"),
        "outbox": await _outbox(service),
    }
    for system, problem in service.external_calls.problems().items():
        detail = problem or "no problem is known"
        checks[system] = Check(ok=not problem, detail=detail, required=False, external=True)
    if service.settings.recovery_mode:
        checks["quarantine"] = Check(ok=False, detail="in recovery mode: publishes nothing")
    if service.is_draining:
        checks["draining"] = Check(ok=False, detail="is stopping")
    return _response(checks, "ready", "not ready")


@get("/metrics", tags=["health"], summary="Metrics for Prometheus", media_type=MediaType.TEXT)
async def get_metrics(service: AnyService) -> Response[bytes]:
    """In the text format of Prometheus."""
    metrics.waiting.set(len(service.mailbox))
    metrics.broker.set(service.broker.connected)
    await _outbox(service)
    await _count_dead_letters(service)
    return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _database(service: Service[Any]) -> Check:
    try:
        async with asyncio.timeout(DATABASE_TIMEOUT_SECONDS), service.reading() as connection:
            await connection.execute(text("SELECT 1"))
    except RetryLater as error:
        return Check(ok=False, detail=error.message)
    except (SQLAlchemyError, TimeoutError) as error:
        return Check(ok=False, detail=f"does not answer: {type(error).__name__}")
    return Check(ok=True, detail="answers")


async def _outbox(service: Service[Any]) -> Check:
    try:
        async with asyncio.timeout(DATABASE_TIMEOUT_SECONDS), service.reading() as connection:
            count, oldest = await backlog(connection)
    except (RetryLater, SQLAlchemyError, TimeoutError) as error:
        return Check(ok=False, detail=f"unknown: {type(error).__name__}", required=False)
    age_seconds = (service.clock() - oldest).total_seconds() if oldest else 0.0
    metrics.unpublished.set(count)
    metrics.outbox_age.set(age_seconds)
    detail = f"{count} unpublished events, the oldest for {age_seconds:.0f} s"
    return Check(ok=age_seconds < MAX_OUTBOX_AGE_SECONDS, detail=detail, required=False)


async def _count_dead_letters(service: Service[Any]) -> None:
    """While the database is away the last count stays."""
    with suppress(RetryLater, SQLAlchemyError, TimeoutError):
        async with asyncio.timeout(DATABASE_TIMEOUT_SECONDS), service.reading() as connection:
            metrics.letters_open.set(await dead_letters.count_not_done(connection))


def _shown(ok: bool, good: str, bad: str) -> Check:
    return Check(ok=ok, detail=good if ok else bad, required=False)


def _response(checks: dict[str, Check], good: str, bad: str) -> Response[Health]:
    ok = all(check.ok for check in checks.values() if check.required)
    health = Health(status=good if ok else bad, checks=checks)
    return Response(health, status_code=200 if ok else 503)


ROUTES = [get_liveness, get_readiness, get_metrics]
