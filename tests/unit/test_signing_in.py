"""The clients of load and benchmark stay signed in for longer than an access token lasts."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from itertools import cycle
from typing import Any

import pytest
from aiohttp import web

from bench.shop import ShopTarget
from bench.wire import Connection
from infra.stack.config import StackError
from ops.deployment import Deployment
from ops.load.client import connected
from tests.kit.client import open_shop, order

LIFE_SECONDS = 0.2


class Server:
    """Signs in with tokens of a short life, and counts orders by token."""

    def __init__(self) -> None:
        self.tokens = 0
        self.refusals = cycle([False, True])  # every other one, as if the user service was away
        self.orders: dict[str, int] = {}
        self.renewed = asyncio.Event()

    async def log_in(self, _: web.Request) -> web.Response:
        if next(self.refusals):
            return web.json_response({"error": "RETRY_LATER", "message": "later"}, status=503)
        self.tokens += 1
        body = {"accessToken": f"token-{self.tokens}", "expiresIn": LIFE_SECONDS}
        return web.json_response(body)

    async def take_order(self, request: web.Request) -> web.Response:
        token = request.headers["Authorization"].removeprefix("Bearer ")
        self.orders[token] = self.orders.get(token, 0) + 1
        if len(self.orders) >= 3:
            self.renewed.set()
        return web.json_response({"orderId": "1"}, status=202)


@pytest.fixture
async def served() -> AsyncIterator[tuple[Server, Mapping[str, str]]]:
    server, app = Server(), web.Application()
    app.router.add_post("/api/v1/auth/login", server.log_in)
    app.router.add_post("/api/v1/orders", server.take_order)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server, {"ORDER_URL": url, "USER_URL": url, "SHOPKEEPER_PASSWORD": "x"}
    await runner.cleanup()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.signing_in.RETRY_SECONDS", 0.05)


async def test_load_stays_signed_in(served: tuple[Server, Mapping[str, str]]) -> None:
    server, environment = served
    async with connected(Deployment(environment, None)) as client, asyncio.timeout(10):
        while not server.renewed.is_set():
            status, _ = await client.call("order", "POST", "/orders", {})
            assert status == 202


async def test_benchmark_stays_signed_in(served: tuple[Server, Mapping[str, str]]) -> None:
    server, environment = served
    async with open_shop(environment) as shop, asyncio.timeout(10):
        target = ShopTarget(shop, [order("c", ("p", 1))])
        connection = await Connection.open(target.url)
        while not server.renewed.is_set():
            await target.post(connection)
        connection.close()
    assert {"token-1", "token-2", "token-3"} <= server.orders.keys()


async def test_a_sign_in_that_is_refused_at_first_is_an_error(
    served: tuple[Server, Mapping[str, Any]],
) -> None:
    server, environment = served
    server.refusals = cycle([True])
    with pytest.raises(AssertionError, match="503"):
        async with open_shop(environment):
            pass
    with pytest.raises(StackError, match="503"):
        async with connected(Deployment(environment, None)):
            pass
