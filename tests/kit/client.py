"""One client of the shop, over HTTP: for tests, the demo, the load generator and the benchmarks."""

import asyncio
import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import uuid4

import aiohttp
import msgspec
from nats.aio.client import Client

from chassis.broker.access import connect_options
from chassis.broker.nats_client import NatsClient
from chassis.settings import broker_settings
from ops.signing_in import signed_in
from tests.kit.stack import ROOT, SERVICES, free_port, run_stack, running_stack

COFFEE = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
PIZZA = "3c4d5e6f-7081-92a3-b4c5-def678901234"
PASTA = "4d5e6f70-8192-a3b4-c5d6-ef7890123456"
RICH = "3fa85f64-5717-4562-b3fc-2c963f66afa6"
SECOND = "123e4567-e89b-12d3-a456-426614174000"

Json = dict[str, Any]
_OPERATORS = re.compile("/api/v1/(ops|admin|deliveries)")

# With the names of tests.kit.stack, so that a test imports everything about the shop from here.
__all__ = [
    "COFFEE",
    "PASTA",
    "PIZZA",
    "RICH",
    "ROOT",
    "SECOND",
    "SERVICES",
    "Json",
    "Response",
    "Shop",
    "UnexpectedResponse",
    "connect_to_broker",
    "free_port",
    "is_well",
    "open_shop",
    "order",
    "run_stack",
    "running_stack",
    "wait_until",
]


class Response(msgspec.Struct, frozen=True):
    """An HTTP response; `body` is decoded where it is JSON, and text otherwise."""

    status: int
    headers: Mapping[str, str]
    body: Any


class UnexpectedResponse(AssertionError):
    """A service refused what the client relies on. The text has the request and the response."""

    def __init__(self, request: str, response: Response) -> None:
        super().__init__(f"{request}: HTTP {response.status}: {str(response.body)[:300]}")
        self.response = response


class Shop:
    """The services of a running stack. `environment` holds what `make env` prints."""

    def __init__(self, environment: Mapping[str, str], http: aiohttp.ClientSession) -> None:
        self.environment = environment
        self.http = http
        self.access_token: str | None = None

    async def sign_in(self, email: str, password: str) -> float:
        """Calls are then this user's, those of operators' routes excepted.

        Returns for how many seconds.
        """
        body = {"email": email, "password": password}
        found = await self.send("user", "POST", "/api/v1/auth/login", body)
        self.access_token = found["accessToken"]
        return float(found["expiresIn"])

    @asynccontextmanager
    async def signed_in(self, email: str, password: str) -> AsyncIterator[None]:
        """The same for as long as it takes."""
        away = (aiohttp.ClientError, TimeoutError, UnexpectedResponse)
        async with signed_in(lambda: self.sign_in(email, password), *away):
            yield

    async def call(
        self, service: str, method: str, path: str, json: Any = None, **headers: str
    ) -> Response:
        """One request, whatever its status. Header names are given as `idempotency_key="..."`."""
        url = f"{self.environment[f'{service.upper()}_URL']}{path}"
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.access_token and not _OPERATORS.match(path):
            sent.setdefault("authorization", f"Bearer {self.access_token}")
        async with self.http.request(method, url, json=json, headers=sent) as response:
            text = await response.text()
            is_json = response.content_type == "application/json" and text
            body = await response.json() if is_json else text
            return Response(response.status, response.headers.copy(), body)

    async def send(
        self, service: str, method: str, path: str, json: Any = None, **headers: str
    ) -> Any:
        """The body of the response. Raises UnexpectedResponse unless the status is 2xx."""
        response = await self.call(service, method, path, json, **headers)
        if not 200 <= response.status < 300:
            raise UnexpectedResponse(f"{service}: {method} {path}", response)
        return response.body

    async def get(self, service: str, path: str, **headers: str) -> Any:
        return await self.send(service, "GET", path, **headers)

    # ------------------------------------------------------------ what an order needs

    async def create_wallet(self, balance: int) -> str:
        """A new customer with this much money. Returns the customer's id."""
        customer = str(uuid4())
        await self.send("payment", "POST", "/api/v1/wallets", {"customerId": customer})
        if balance:
            path = f"/api/v1/wallets/{customer}/charge"
            await self.send("payment", "POST", path, {"amount": balance})
        return customer

    async def create_product(self, price: int, stock: int, name: str = "Cake") -> str:
        """A new product that can be ordered: the order service knows its price. Returns its id."""
        body = {"name": name, "price": price, "stock": stock}
        created = await self.send("product", "POST", "/api/v1/products", body)
        product_id: str = created["productId"]

        async def is_projected() -> bool:
            # An order at a wrong price is refused by the price projection, and stores nothing.
            probe = order(str(uuid4()), (product_id, 1), price=price + 1)
            response = await self.call("order", "POST", "/api/v1/orders", probe)
            return bool(response.body["error"] == "PRICE_MISMATCH")

        await wait_until(is_projected, "the order service knows the price")
        return product_id

    async def create_category(self, name: str) -> str:
        """A category of this name, unless there is one. Returns its name."""
        response = await self.call("product", "POST", "/api/v1/categories", {"name": name})
        assert response.status == 201 or response.body["error"] == "CATEGORY_EXISTS", response
        return name

    async def create_coupon(self, customer: str, **terms: Any) -> str:
        """A coupon of this customer; 1,000 KRW off where no terms are given. Returns its id."""
        defined = {"name": "test", "discountType": "FIXED", "discountValue": 1000, "quantity": 1}
        made = await self.send("coupon", "POST", "/api/v1/coupons", defined | terms)
        path = f"/api/v1/coupons/{made['couponId']}/issue"
        issued = await self.send("coupon", "POST", path, {"customerId": customer})
        return str(issued["issuedCouponId"])

    async def add_stock(self, product_id: str, quantity: int) -> None:
        """Book a delivery of the product."""
        path = f"/api/v1/products/{product_id}/stock"
        body = {"delta": quantity, "reason": "delivery"}
        await self.send("product", "PATCH", path, body, idempotency_key=str(uuid4()))

    # ------------------------------------------------------------ orders

    async def place(self, body: Json, **headers: str) -> str:
        """Place an order that is accepted. Returns its id."""
        return str((await self.send("order", "POST", "/api/v1/orders", body, **headers))["orderId"])

    async def wait_until_ended(
        self,
        order_id: str,
        timeout_seconds: float = 20,
        *,
        not_ended: tuple[str, ...] = ("PENDING",),
    ) -> Json:
        """The order, as soon as its status is not one of `not_ended`."""
        found: Json = {}

        async def has_ended() -> bool:
            nonlocal found
            found = await self.get("order", f"/api/v1/orders/{order_id}")
            return found["status"] not in not_ended

        await wait_until(has_ended, f"order {order_id} has ended", timeout_seconds)
        return found

    async def buy(self, body: Json) -> Json:
        """Place an order and wait for its end."""
        return await self.wait_until_ended(await self.place(body))

    async def count_ends(self, customer: str, timeout_seconds: float = 60) -> Counter[str]:
        """How many of a customer's orders ended in which status, as soon as none is PENDING."""
        path = f"/api/v1/orders?customerId={customer}&size=1"

        async def count(status: str) -> int:
            return int((await self.get("order", f"{path}&status={status}"))["total"])

        async def none_is_pending() -> bool:
            return await count("PENDING") == 0

        await wait_until(none_is_pending, f"all orders of {customer} have ended", timeout_seconds)
        return Counter({status: await count(status) for status in ("COMPLETED", "FAILED")})

    async def cancel(self, order_id: str) -> Response:
        return await self.call("order", "POST", f"/api/v1/orders/{order_id}/cancel")

    async def trace(self, order_id: str) -> list[Json]:
        events: list[Json] = (await self.get("order", f"/api/v1/orders/{order_id}/trace"))["events"]
        return events

    async def event_names(self, order_id: str) -> list[str]:
        return [event["name"] for event in await self.trace(order_id)]

    async def wait_for_events(self, order_id: str, *names: str) -> None:
        """Wait until these events of the order are in the stream."""

        async def are_in_stream() -> bool:
            return set(names) <= set(await self.event_names(order_id))

        await wait_until(are_in_stream, f"{names} of order {order_id} are in the stream")

    # ------------------------------------------------------------ what is left

    async def stock(self, product_id: str) -> tuple[int, int]:
        """Units that are available, and units that are reserved."""
        path = f"/api/v1/products/{product_id}/stock"
        body = await self.get("product", path, cache_control="no-cache")
        return body["available"], body["reserved"]

    async def stock_entries(self, product_id: str) -> list[Json]:
        """A product's stock ledger, oldest first, every page of it."""
        path = f"/api/v1/products/{product_id}/stock/history?size=100"
        found = await self.get("product", path)
        items: list[Json] = found["items"]
        while len(items) < found["total"]:
            found = await self.get("product", f"{path}&page={found['page'] + 1}")
            items += found["items"]
        return items

    async def balance(self, customer: str) -> int:
        return int((await self.get("payment", f"/api/v1/wallets/{customer}"))["balance"])

    async def wallet_entries(self, customer: str) -> list[Json]:
        """The newest hundred entries of a wallet's ledger, newest first."""
        path = f"/api/v1/wallets/{customer}/transactions?size=100"
        items: list[Json] = (await self.get("payment", path))["items"]
        return items

    async def coupon_status(self, issued_coupon_id: str) -> tuple[str, str | None]:
        """Its status, and the order that uses it."""
        body = await self.get("coupon", f"/api/v1/issued-coupons/{issued_coupon_id}")
        return body["status"], body["orderId"]

    async def payments(self, order_id: str) -> list[Json]:
        found = await self.get("payment", f"/api/v1/payments?orderId={order_id}")
        items: list[Json] = found["items"]
        return items

    # ------------------------------------------------------------ operating it

    async def dead_letters(self, service: str) -> list[Json]:
        items: list[Json] = (await self.get(service, "/api/v1/ops/dead-letters?size=100"))["items"]
        return items

    async def unsettled(self, service: str) -> list[Json]:
        """The service's oldest unsettled orders."""
        items: list[Json] = (await self.get(service, "/api/v1/ops/owed"))["items"]
        return items

    def nats(self, user: str = "admin") -> AbstractAsyncContextManager[Client]:
        """A connection to the broker as this user (admin or observer)."""
        return connect_to_broker(self.environment[f"NATS_URL_{user.upper()}"])

    def command(self, *words: str) -> str:
        """Run a command of the local stack, such as `kill order`. Returns its output."""
        return run_stack(self.environment, *words)

    async def wait_until_ready(self, *services: str) -> None:
        """Wait until all checks of these services, or of all, pass."""

        async def are_ready() -> bool:
            try:
                responses = [
                    await self.call(service, "GET", "/health/ready")
                    for service in services or SERVICES
                ]
            except aiohttp.ClientError:
                return False
            return all(map(is_well, responses))

        await wait_until(are_ready, f"{services or SERVICES} are ready", timeout_seconds=60)

    async def wait_until_idle(self, *, platform: bool = True) -> None:
        """Wait until no event is unpublished or unhandled, and each order is sent to the platform.

        Without `platform`, orders may still be on their way to the data platform.
        """
        services = SERVICES if platform else [each for each in SERVICES if each != "dataplatform"]

        async def is_idle() -> bool:
            # In this order: an acknowledged event is committed; its consequences are in the outbox
            # until the stream has them; and then the stream has grown.
            async with self.nats() as client:
                jetstream = client.jetstream()
                before = (await jetstream.stream_info("SAGA")).state.last_seq
                for info in await jetstream.consumers_info("SAGA"):
                    if info.name in services and (info.num_pending or info.num_ack_pending):
                        return False
                for service in services:
                    if (await self.get(service, "/api/v1/ops/outbox"))["total"]:
                        return False
                if platform and await self.unsettled("dataplatform"):
                    return False
                return bool((await jetstream.stream_info("SAGA")).state.last_seq == before)

        await wait_until(is_idle, "the stack is idle", timeout_seconds=60)


def is_well(ready: Response) -> bool:
    """All checks pass: the service is connected to the broker too, and publishes in time."""
    return ready.status == 200 and all(
        each["ok"] or each["external"] for each in ready.body["checks"].values()
    )


def order(customer: str, *lines: tuple[str, int], **more: Any) -> Json:
    """The body of an order: `order(customer, (product_id, quantity), ...)`."""
    items = [{"productId": product, "quantity": quantity} for product, quantity in lines]
    return {"customerId": customer, "items": items} | more


async def wait_until(
    condition: Callable[[], Awaitable[bool]], what: str, timeout_seconds: float = 20
) -> None:
    """Wait for a condition. Raises AssertionError with `what` when the time is over."""
    try:
        async with asyncio.timeout(timeout_seconds):
            while not await condition():
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"after {timeout_seconds} s it does not hold that {what}") from None


@asynccontextmanager
async def connect_to_broker(url: str) -> AsyncIterator[Client]:
    client = NatsClient()
    options = connect_options(broker_settings(os.environ | {"NATS_URL": url}))
    await client.connect(**options, connect_timeout=5)
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def open_shop(environment: Mapping[str, str]) -> AsyncIterator[Shop]:
    """The client of a running stack; an operator where the environment has the token.

    Where it has the shopkeeper's password, the shopkeeper, who may act for all customers.
    """
    # A service that is told to stop closes idle connections.
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=2)
    timeout = aiohttp.ClientTimeout(total=60)
    token = environment.get("OPS_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=headers) as http:
        shop = Shop(environment, http)
        async with AsyncExitStack() as session:
            if password := environment.get("SHOPKEEPER_PASSWORD"):
                await session.enter_async_context(shop.signed_in("shopkeeper@shop.test", password))
            yield shop
