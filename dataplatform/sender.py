"""Sends completed orders to the data platform over HTTP, with a circuit breaker.

Any 2xx accepts a delivery. After any other outcome it is postponed and sent again under the same
`Idempotency-Key`, the order's id: by it the platform recognises a delivery that it had accepted
while its answer was lost. While the platform is away the breaker is open and no call is made; then
one delivery probes the platform, and the others follow if it is accepted. An answer below 500
postpones its own delivery alone.
"""

import logging
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from http import HTTPStatus

import aiohttp
import msgspec
from prometheus_client import Counter
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.components import Component
from chassis.outbound import (
    BreakerOpen,
    OutboundClient,
    Unavailable,
    UnusableAnswer,
    excerpt,
    retry_after_seconds,
)
from chassis.ports import Clock
from dataplatform import store
from dataplatform.commands import DeliveryAccepted, DeliveryFailed, Send
from dataplatform.domain import LEASE_SECONDS, CompletedOrder
from dataplatform.settings import Settings
from dataplatform.unit_of_work import DeliveryUnitOfWork
from events.contract import OrderCompleted
from saga import envelope
from saga.due import is_due

log = logging.getLogger(__name__)

deliveries_by_outcome = Counter(
    "shop_deliveries_total",
    "Attempts to send an order to the data platform: accepted, not_now, refused or not_tried.",
    ["outcome"],
)

SYSTEM = "data_platform"
CALL_TIMEOUT_SECONDS = 5.0
FAILURES_TO_OPEN = 5
RECOVERY_SECONDS = 5
MAX_IN_FLIGHT = 128
"""Few enough that even a platform that answers just in time accepts all before their leases end."""

MAX_ERROR_CHARACTERS = 500
"""Of an answer, stored for operators."""


class Outcome(StrEnum):
    """Of one attempt, as the metric names it."""

    ACCEPTED = "accepted"
    NOT_NOW = "not_now"
    REFUSED = "refused"
    NOT_TRIED = "not_tried"


_LEVELS = {Outcome.REFUSED: logging.ERROR, Outcome.NOT_NOW: logging.WARNING}
_NOT_NOW = {
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.CONFLICT,
    HTTPStatus.TOO_EARLY,
    HTTPStatus.TOO_MANY_REQUESTS,
}


class DeliveryRefused(Exception):
    """The platform refuses this request. It is retried, but an operator has to find the reason."""


class Sender(Component[DeliveryUnitOfWork]):
    """Executes the external calls, and limits how many are in flight.

    `url` is where orders are posted to. None: deliveries stay pending.
    """

    def __init__(self, url: str | None, clock: Clock) -> None:
        self._url = url
        self._clock = clock
        self._in_flight: dict[str, datetime] = {}
        self._client = OutboundClient(
            SYSTEM,
            timeout_seconds=CALL_TIMEOUT_SECONDS,
            failures_to_open=FAILURES_TO_OPEN,
            recovery_seconds=RECOVERY_SECONDS,
        )
        if url is None:
            log.warning("DATA_PLATFORM_URL is not set: completed orders are kept until it is")

    @property
    def breaker_is_open(self) -> bool:
        return self._client.breaker_is_open

    def problems(self) -> Mapping[str, str | None]:
        return {SYSTEM: self._client.problem} if self._url else {}

    async def find_due(self, connection: AsyncConnection, now: datetime, _: Settings) -> list[Send]:
        """The deliveries to send now: at most as many as may still be in flight."""
        self._in_flight = {
            each: until
            for each, until in self._in_flight.items()
            if not is_due(until, now, LEASE_SECONDS)
        }
        room = self._client.max_calls(MAX_IN_FLIGHT) - len(self._in_flight) if self._url else 0
        found = await store.find_due(connection, now, room) if room > 0 else []
        return [Send(order_id=order_id) for order_id in found]

    def committed(self, uow: DeliveryUnitOfWork) -> None:
        """Count the leased deliveries; another instance may have leased some that were due.

        Each counts until its lease ends at most: a call that is still running is not begun again,
        so its end would not be counted.
        """
        lease_ends = uow.after(LEASE_SECONDS)
        self._in_flight |= {order.order_id: lease_ends for order in uow.external_calls}

    async def __call__(self, order: CompletedOrder) -> DeliveryAccepted | DeliveryFailed:
        """Send one order. Returns the command that brings the outcome."""
        try:
            outcome, command = await self._try(order)
        finally:
            self._in_flight.pop(order.order_id, None)
        deliveries_by_outcome.labels(outcome).inc()
        if isinstance(command, DeliveryFailed) and outcome in _LEVELS:
            about = {"orderId": command.order_id, "error": command.error}
            log.log(_LEVELS[outcome], "the data platform has not accepted an order", extra=about)
        return command

    async def close(self) -> None:
        await self._client.close()

    async def _try(
        self, order: CompletedOrder
    ) -> tuple[Outcome, DeliveryAccepted | DeliveryFailed]:
        """The outcome, and the command that brings it."""
        order_id = order.order_id
        try:
            await self._post(order)
        except Unavailable as problem:
            error, wait_seconds = str(problem), problem.wait_seconds
            command = DeliveryFailed(order_id=order_id, error=error, wait_seconds=wait_seconds)
            is_open = isinstance(problem, BreakerOpen)
            return Outcome.NOT_TRIED if is_open else Outcome.NOT_NOW, command
        except DeliveryRefused as problem:
            return Outcome.REFUSED, DeliveryFailed(order_id=order_id, error=str(problem))
        return Outcome.ACCEPTED, DeliveryAccepted(order_id=order_id)

    async def _post(self, order: CompletedOrder) -> None:
        """Raises Unavailable or DeliveryRefused unless it was accepted."""
        completed = envelope.id_of(OrderCompleted, order.order_id)
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": order.order_id,
            envelope.TRACE: envelope.traceparent(order.order_id, completed),
        }
        body = msgspec.json.encode(order)
        async with self._client.request(
            "POST", self._url or "", data=body, headers=headers
        ) as answer:
            await self._check(answer)

    async def _check(self, answer: aiohttp.ClientResponse) -> None:
        """Raises Unavailable or DeliveryRefused unless the answer is an acceptance."""
        content = await answer.content.read(MAX_ERROR_CHARACTERS)
        if 200 <= answer.status < 300:
            return
        error = f"answered {answer.status} {excerpt(content, MAX_ERROR_CHARACTERS)}"
        wait_seconds = retry_after_seconds(answer.headers, self._clock())
        if answer.status >= 500:
            raise Unavailable(error, wait_seconds)
        if answer.status in _NOT_NOW:
            raise UnusableAnswer(error, wait_seconds)
        raise DeliveryRefused(error)
