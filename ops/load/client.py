"""What a load needs of a shop's HTTP interface."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any
from uuid import uuid4

import aiohttp
import msgspec

from infra.stack.config import StackError
from ops.deployment import Deployment
from ops.signing_in import signed_in

COFFEE = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
RICH = "3fa85f64-5717-4562-b3fc-2c963f66afa6"
"""A product and a customer of the first data."""

QUANTITY = 3
PRICE = 100
"""In KRW, of the product of a run: a million orders fit into one charge of a wallet."""

_TIMEOUT_SECONDS = 60.0
_PROJECTION_SECONDS = 30.0
_PAUSE_SECONDS = 0.05


class Items(msgspec.Struct, frozen=True):
    """What is ordered, and by whom. `is_own`: created for this run."""

    customer: str
    product: str
    is_own: bool

    @property
    def order(self) -> dict[str, Any]:
        """The body of an order."""
        items = [{"productId": self.product, "quantity": QUANTITY}]
        return {"customerId": self.customer, "items": items}


class Client:
    """Calls of one deployment's services."""

    def __init__(self, shop: Deployment, http: aiohttp.ClientSession) -> None:
        self._shop = shop
        self._http = http

    async def call(
        self, service: str, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, Any]:
        """The status and the body, None where it is no JSON.

        Raises aiohttp.ClientError and TimeoutError without an answer.
        """
        url = f"{self._shop.url(service)}/api/v1{path}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self._http.request(method, url, json=body, headers=named) as answer:
            is_json = answer.content_type == "application/json"
            return answer.status, await answer.json() if is_json else None

    async def sign_in(self, password: str) -> float:
        """As the shopkeeper, who may act for all customers. Returns for how many seconds.

        Raises StackError when it is refused.
        """
        body = {"email": "shopkeeper@shop.test", "password": password}
        found = await self._do("user", "POST", "/auth/login", body)
        self._http.headers["Authorization"] = f"Bearer {found['accessToken']}"
        return float(found["expiresIn"])

    async def get(self, service: str, path: str) -> Any | None:
        """The body; None without an answer, or without what was asked for."""
        try:
            status, body = await self.call(service, "GET", path, cache_control="no-cache")
        except (aiohttp.ClientError, TimeoutError):
            return None
        return body if status == 200 else None

    async def how_ended(self, order_id: str) -> str | None:
        """COMPLETED, or FAILED with its reason; None while the order has not ended."""
        order = await self.get("order", f"/orders/{order_id}")
        if order is None or order["status"] in ("PENDING", "WAITING"):
            return None
        return f"FAILED {order['failReason']}" if order["status"] == "FAILED" else order["status"]

    async def create_items(self, orders: int) -> Items:
        """A customer with enough money for so many orders, and a product with enough stock.

        Raises StackError when a service refuses.
        """
        units = orders * QUANTITY
        customer, wallet = str(uuid4()), {"amount": units * PRICE}
        await self._do("payment", "POST", "/wallets", {"customerId": customer})
        await self._do("payment", "POST", f"/wallets/{customer}/charge", wallet)
        body = {"name": "Load test", "price": PRICE, "stock": units}
        created = await self._do("product", "POST", "/products", body)
        items = Items(customer, created["productId"], is_own=True)
        await self._wait_for_price(items)
        return items

    async def remove(self, items: Items) -> None:
        """Take the product of a run out of the catalogue."""
        await self._do("product", "DELETE", f"/products/{items.product}")

    async def _wait_for_price(self, items: Items) -> None:
        """The order service's price projection follows product's events by a moment."""
        wrong = items.order | {"price": 1}  # is refused, and stores nothing
        end = time.monotonic() + _PROJECTION_SECONDS
        while time.monotonic() < end:
            _, body = await self.call("order", "POST", "/orders", wrong)
            if body and body.get("error") == "PRICE_MISMATCH":
                return
            await asyncio.sleep(_PAUSE_SECONDS)
        raise StackError(
            f"After {_PROJECTION_SECONDS:.0f} s the order service does not know the price of a new "
            "product. Look at: make status"
        )

    async def _do(self, service: str, method: str, path: str, body: Any = None) -> Any:
        status, answer = await self.call(service, method, path, body)
        if not 200 <= status < 300:
            why = answer["message"] if isinstance(answer, dict) else "no JSON"
            raise StackError(f"{service}: {method} {path}: HTTP {status}: {why}")
        return answer


@asynccontextmanager
async def connected(shop: Deployment) -> AsyncIterator[Client]:
    # The server closes a connection that was idle for five seconds.
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=2)
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http:
        client = Client(shop, http)
        async with AsyncExitStack() as session:
            if password := shop.shopkeepers_password:
                away = (aiohttp.ClientError, TimeoutError, StackError)
                signing_in = partial(client.sign_in, password)
                await session.enter_async_context(signed_in(signing_in, *away))
            yield client
