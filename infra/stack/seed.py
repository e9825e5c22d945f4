"""The data that a new stack starts with. Seeding twice changes nothing."""

import asyncio
import os

import httpx
from nats.errors import Error as NatsError

from infra.stack import broker
from infra.stack.config import Stack, StackError
from infra.stack.waiting import wait_until

_TIMEOUT_SECONDS = 30.0
_HEARD_SECONDS = 30.0
_SEEDED_SERVICES = ("product", "payment")


def seed(stack: Stack) -> None:
    """Let product and payment make their first rows, and wait until orders can be priced."""
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
        raise StackError(f"{service} asks for the operators' token. Set OPS_TOKEN and try again.")
    if not answer.is_success:
        raise StackError(
            f"{service} refused to be seeded (HTTP {answer.status_code}: {answer.text[:200]}). "
            f"Look at: make logs SERVICE={service}"
        )


def _wait_for_prices(stack: Stack) -> None:
    """The order service hears prices as events, a moment after product has stored them."""
    if not wait_until(lambda: _prices_are_out(stack) and _prices_are_heard(stack), _HEARD_SECONDS):
        raise StackError(
            f"After {_HEARD_SECONDS:.0f} s the order service has not heard all prices, so orders "
            "may be refused. Look at: make status, make logs SERVICE=order"
        )


def _prices_are_out(stack: Stack) -> bool:
    """Product has published what it said of its products; events of orders may still wait."""
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


def _prices_are_heard(stack: Stack) -> bool:
    """The order service has acknowledged, and so stored, all that the catalogue's stream holds."""
    try:
        return asyncio.run(_nothing_left_to_hear(stack))
    except (NatsError, OSError, TimeoutError):
        return False


async def _nothing_left_to_hear(stack: Stack) -> bool:
    async with broker.observing(stack) as client:
        for info in await broker.consumers(client):
            if (info.stream_name, info.name) == ("CATALOG", "order"):
                return not info.num_pending and not info.num_ack_pending
    return False


def _token() -> dict[str, str]:
    token = os.environ.get("OPS_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token else {}
