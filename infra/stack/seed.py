"""The first data of a new stack. Seeding is idempotent."""

import asyncio
import os

import httpx
from nats.errors import Error as NatsError

from infra.stack import broker
from infra.stack.config import Stack, StackError
from infra.stack.waiting import wait_until

_TIMEOUT_SECONDS = 30.0
_PROJECTION_SECONDS = 30.0
_SEEDED_SERVICES = ("product", "payment")


def seed(stack: Stack) -> None:
    """Create the first products and wallets, and wait until orders can be priced."""
    for service in _SEEDED_SERVICES:
        _post(f"{stack.url(service)}/api/v1/ops/seed", service)
    _wait_for_prices(stack)


def _post(url: str, service: str) -> None:
    try:
        answer = httpx.post(url, headers=_token(), timeout=_TIMEOUT_SECONDS, trust_env=False)
    except httpx.HTTPError as error:
        raise StackError(
            f"{service} could not be seeded ({error}). Look at: make logs SERVICE={service}"
        ) from error
    if answer.status_code == 401:
        raise StackError(f"{service} requires the operators' token. Set OPS_TOKEN and try again.")
    if not answer.is_success:
        raise StackError(
            f"{service} refused to be seeded (HTTP {answer.status_code}: {answer.text[:200]}). "
            f"Look at: make logs SERVICE={service}"
        )


def _wait_for_prices(stack: Stack) -> None:
    """The order service's price projection follows product's events by a moment."""
    if not wait_until(
        lambda: _prices_are_published(stack) and _prices_are_projected(stack), _PROJECTION_SECONDS
    ):
        raise StackError(
            f"After {_PROJECTION_SECONDS:.0f} s the order service does not know all prices, so "
            "orders may be refused. Look at: make status, make logs SERVICE=order"
        )


def _prices_are_published(stack: Stack) -> bool:
    """Product's outbox has no event of the catalogue; it may have events of orders."""
    try:
        answer = httpx.get(
            f"{stack.url('product')}/api/v1/ops/outbox",
            headers=_token(),
            timeout=_TIMEOUT_SECONDS,
            trust_env=False,
        )
    except httpx.HTTPError:
        return False
    if not answer.is_success:
        return False
    waiting = answer.json()
    named = [item["subject"].partition(".")[0] for item in waiting["items"]]
    return len(named) == waiting["total"] and "catalog" not in named


def _prices_are_projected(stack: Stack) -> bool:
    """The order service has acknowledged, and so committed, all events of the catalogue."""
    try:
        return asyncio.run(_catalogue_is_handled(stack))
    except (NatsError, OSError, TimeoutError):
        return False


async def _catalogue_is_handled(stack: Stack) -> bool:
    async with broker.observing(stack) as client:
        for info in await broker.consumers(client):
            if (info.stream_name, info.name) == ("CATALOG", "order"):
                return not info.num_pending and not info.num_ack_pending
    return False


def _token() -> dict[str, str]:
    token = os.environ.get("OPS_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token else {}
