"""Guessing passwords and addresses, against a user service without a broker."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest

from tests.integration.service_process import running_service
from tests.kit.client import Json, Response, Shop, open_shop
from tests.kit.stack import free_port
from user.tries import FREE_FOR_ACCOUNT, FREE_FOR_ADDRESS

PASSWORD = "seven red umbrellas"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service behind a proxy, so that each client has an address of its own."""
    settings = {"NATS_URL": f"nats://127.0.0.1:{free_port()}", "TRUSTED_PROXIES": "127.0.0.1"}
    service = running_service("user", tmp_path_factory.mktemp("user"), settings)
    with asyncio.Runner() as runner:
        running = runner.run(service.__aenter__())
        yield running.shop.environment["USER_URL"]
        runner.run(service.__aexit__(None, None, None))


@pytest.fixture
async def shop(url: str) -> AsyncIterator[Shop]:
    async with open_shop({"USER_URL": url}) as found:
        yield found


async def post(shop: Shop, path: str, body: Json, client: str) -> Response:
    return await shop.call("user", "POST", path, body, **{"X-Forwarded-For": client})


async def log_in_wrongly(shop: Shop, email: str, client: str) -> Response:
    body = {"email": email, "password": "wrong"}
    return await post(shop, "/api/v1/auth/login", body, client)


async def sign_up(shop: Shop, email: str, client: str) -> Response:
    body = {"email": email, "password": PASSWORD, "name": "Kim"}
    return await post(shop, "/api/v1/users", body, client)


def codes(answers: list[Response]) -> Counter[str]:
    return Counter(str(each.body.get("error")) for each in answers)


async def test_burst_of_guesses_gets_no_more_answers_than_one_after_the_other(shop: Shop) -> None:
    burst = [log_in_wrongly(shop, "kim@shop.test", f"203.0.113.{number}") for number in range(30)]
    found = codes(await asyncio.gather(*burst))
    assert found.keys() == {"BAD_CREDENTIALS", "TOO_MANY_TRIES"}
    # On a busy machine the burst outlasts the first delays, which double.
    assert FREE_FOR_ACCOUNT <= found["BAD_CREDENTIALS"] <= 2 * FREE_FOR_ACCOUNT


async def test_wrong_current_passwords_make_the_account_wait(shop: Shop) -> None:
    """A copy of an access token must not find the password, and so outlast the token."""
    email = f"{uuid4()}@shop.test"
    user = (await sign_up(shop, email, "203.0.113.1")).body["userId"]
    path, body = f"/api/v1/users/{user}/password", {"current": "wrong", "new": "eleven green lamps"}
    tries = [await shop.call("user", "PUT", path, body) for _ in range(FREE_FOR_ACCOUNT + 1)]
    assert codes(tries) == {"BAD_CREDENTIALS": FREE_FOR_ACCOUNT, "TOO_MANY_TRIES": 1}
    right = await shop.call("user", "PUT", path, body | {"current": PASSWORD})
    assert right.status == 429


async def test_client_that_asks_which_addresses_are_taken_has_to_wait(shop: Shop) -> None:
    email, client = f"{uuid4()}@shop.test", "198.51.100.1"
    assert (await sign_up(shop, email, client)).status == 201
    asked = [await sign_up(shop, email, client) for _ in range(FREE_FOR_ADDRESS + 1)]
    assert codes(asked) == {"USER_EXISTS": FREE_FOR_ADDRESS, "TOO_MANY_TRIES": 1}
    assert (await sign_up(shop, f"{uuid4()}@shop.test", client)).status == 429
    assert (await sign_up(shop, f"{uuid4()}@shop.test", "198.51.100.2")).status == 201
