"""The data that a new stack starts with. Seeding twice changes nothing."""

import os

import httpx

from infra.stack import health
from infra.stack.config import Stack, StackError

_TIMEOUT_SECONDS = 30.0
_SEEDED_SERVICES = ("product", "payment")


def seed(stack: Stack) -> None:
    """Let product and payment make their first rows, and wait until orders can be priced."""
    token = os.environ.get("OPS_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    for service in _SEEDED_SERVICES:
        _post(f"{stack.url(service)}/api/v1/ops/seed", headers, service)
    _wait_for_prices(stack)


def _post(url: str, headers: dict[str, str], service: str) -> None:
    try:
        answer = httpx.post(url, headers=headers, timeout=_TIMEOUT_SECONDS, trust_env=False)
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
    if health.wait_until_ready(stack, ["order"], 30.0):
        raise StackError("The order service is not ready. Look at: make logs SERVICE=order")
