"""The first data of a new stack. Seeding is idempotent."""

import asyncio
import os

import httpx
from nats.errors import Error as NatsError

from infra.stack import broker, passwords
from infra.stack.config import Stack, StackError
from infra.stack.waiting import wait_until

_TIMEOUT_SECONDS = 30.0
_PROJECTION_SECONDS = 30.0
_SEEDED_SERVICES = ("product", "payment")
CONFLICT = 409
FIRST_CUSTOMER = "3fa85f64-5717-4562-b3fc-2c963f66afa6"
"""The customer who has the first wallet."""


def seed(stack: Stack) -> None:
    """Create the first products, wallets and users, and wait until orders can be priced."""
    for service in _SEEDED_SERVICES:
        _post(stack, service, "/ops/seed")
    if stack.auth:
        _add_people(stack)
    _wait_for_prices(stack)


def _add_people(stack: Stack) -> None:
    """A user of each kind, with the password that `make env` prints."""
    known = passwords.of_sign_in(stack.state_dir)
    for person in passwords.PEOPLE:
        body = {
            "email": f"{person}@shop.test",
            "password": known[passwords.persons_variable(person)],
            "name": person.capitalize(),
            "roles": [person],
        }
        if person == "customer":
            body["userId"] = FIRST_CUSTOMER
        _post(stack, "user", "/admin/users", body)


def _post(stack: Stack, service: str, path: str, body: object = None) -> None:
    """A user who is there already is left as they are."""
    url = f"{stack.url(service)}/api/v1{path}"
    try:
        answer = httpx.post(
            url, json=body, headers=_token(stack), timeout=_TIMEOUT_SECONDS, trust_env=False
        )
    except httpx.HTTPError as error:
        raise StackError(
            f"{service} could not be seeded ({error}). Look at: make logs SERVICE={service}"
        ) from error
    if answer.status_code == 401:
        raise StackError(f"{service} requires the operators' token. Set OPS_TOKEN and try again.")
    if not answer.is_success and answer.status_code != CONFLICT:
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
            headers=_token(stack),
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


def _token(stack: Stack) -> dict[str, str]:
    token = passwords.ops_token(stack, os.environ)
    return {"Authorization": f"Bearer {token}"} if token else {}
