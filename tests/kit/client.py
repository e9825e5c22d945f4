"""The few calls on a running stack that most tests make."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from uuid import uuid4

import aiohttp
from nats.aio.client import Client

from chassis.broker.nats_client import NatsClient
from tests.kit.stack import ROOT, SERVICES, free_port, run_stack, running_stack

COFFEE = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
PIZZA = "3c4d5e6f-7081-92a3-b4c5-def678901234"
PASTA = "4d5e6f70-8192-a3b4-c5d6-ef7890123456"
RICH = "3fa85f64-5717-4562-b3fc-2c963f66afa6"
SECOND = "123e4567-e89b-12d3-a456-426614174000"

Json = dict[str, Any]

# The names of tests.kit.stack too, for tests that look for everything about the shop in one place.
__all__ = [
    "COFFEE",
    "PASTA",
    "PIZZA",
    "RICH",
    "ROOT",
    "SECOND",
    "SERVICES",
    "Answer",
    "Json",
    "Opened",
    "Shop",
    "connected",
    "free_port",
    "order",
    "run_stack",
    "running_stack",
    "until",
]


class Answer:
    """An HTTP answer, read whole."""

    def __init__(self, status: int, headers: Mapping[str, str], body: Any) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def __repr__(self) -> str:
        return f"<{self.status} {self.body}>"


class Shop:
    """A running stack. `environment` holds what `make env` prints."""

    def __init__(self, environment: Mapping[str, str], http: aiohttp.ClientSession) -> None:
        self.environment = environment
        self._http = http

    async def call(
        self, service: str, method: str, path: str, json: Any = None, **headers: str
    ) -> Answer:
        """One request. Header names are given as `idempotency_key="..."`."""
        url = f"{self.environment[f'{service.upper()}_URL']}{path}"
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self._http.request(method, url, json=json, headers=sent) as answer:
            text = await answer.text()
            is_json = answer.content_type == "application/json" and text
            body = await answer.json() if is_json else text
            return Answer(answer.status, answer.headers.copy(), body)

    async def get(self, service: str, path: str, **headers: str) -> Any:
        """A GET that must go well."""
        answer = await self.call(service, "GET", path, **headers)
        assert answer.status == 200, answer
        return answer.body

    # ------------------------------------------------------------ what a test needs around it

    async def wallet(self, balance: int) -> str:
        """A new customer with this much money. Returns the customer's id."""
        customer = str(uuid4())
        opened = await self.call("payment", "POST", "/api/v1/wallets", {"customerId": customer})
        assert opened.status == 201, opened
        if balance:
            path = f"/api/v1/wallets/{customer}/charge"
            charged = await self.call("payment", "POST", path, {"amount": balance})
            assert charged.status == 200, charged
        return customer

    async def product(self, price: int, stock: int, name: str = "Cake") -> str:
        """A new product that can be ordered: the order service knows its price. Returns its id."""
        body = {"name": name, "price": price, "stock": stock}
        created = await self.call("product", "POST", "/api/v1/products", body)
        assert created.status == 201, created
        product_id: str = created.body["productId"]

        async def known() -> bool:
            # An order that can't be accepted, at a wrong price, tells without leaving anything.
            probe = order(str(uuid4()), (product_id, 1), price=price + 1)
            answer = await self.call("order", "POST", "/api/v1/orders", probe)
            return bool(answer.body["error"] == "PRICE_MISMATCH")

        await until(known, "the order service has heard the price")
        return product_id

    async def coupon(self, customer: str, **terms: Any) -> str:
        """A coupon of this customer; 1,000 won off where no terms are given. Returns its id."""
        defined = {"name": "test", "discountType": "FIXED", "discountValue": 1000, "quantity": 1}
        made = await self.call("coupon", "POST", "/api/v1/coupons", defined | terms)
        assert made.status == 201, made
        path = f"/api/v1/coupons/{made.body['couponId']}/issue"
        issued = await self.call("coupon", "POST", path, {"customerId": customer})
        assert issued.status == 201, issued
        return str(issued.body["issuedCouponId"])

    # ------------------------------------------------------------ orders

    async def place(self, body: Json, **headers: str) -> str:
        """Place an order that must be accepted. Returns its id."""
        answer = await self.call("order", "POST", "/api/v1/orders", body, **headers)
        assert answer.status in (200, 202), answer
        return str(answer.body["orderId"])

    async def ended(self, order_id: str, timeout_seconds: float = 20) -> Json:
        """The order, once it is not PENDING any more."""
        found: Json = {}

        async def done() -> bool:
            nonlocal found
            found = await self.get("order", f"/api/v1/orders/{order_id}")
            return bool(found["status"] != "PENDING")

        await until(done, f"order {order_id} has ended", timeout_seconds)
        return found

    async def buy(self, body: Json) -> Json:
        """Place an order and wait for its end."""
        return await self.ended(await self.place(body))

    async def outcome(self, customer: str, timeout_seconds: float = 60) -> Counter[str]:
        """How many of a customer's orders ended in which status, once none is PENDING any more."""
        path = f"/api/v1/orders?customerId={customer}&size=1"

        async def count(status: str) -> int:
            return int((await self.get("order", f"{path}&status={status}"))["total"])

        async def none_pending() -> bool:
            return await count("PENDING") == 0

        await until(none_pending, f"all orders of {customer} have ended", timeout_seconds)
        return Counter({status: await count(status) for status in ("COMPLETED", "FAILED")})

    async def entries(self, customer: str) -> list[Json]:
        """The newest lines of a wallet's ledger, newest first."""
        path = f"/api/v1/wallets/{customer}/transactions?size=100"
        items: list[Json] = (await self.get("payment", path))["items"]
        return items

    async def bookings(self, product_id: str) -> list[Json]:
        """A product's stock ledger, oldest first, every page of it."""
        path = f"/api/v1/products/{product_id}/stock/history?size=100"
        found = await self.get("product", path)
        items: list[Json] = found["items"]
        while len(items) < found["total"]:
            found = await self.get("product", f"{path}&page={found['page'] + 1}")
            items += found["items"]
        return items

    async def trace(self, order_id: str) -> list[Json]:
        events: list[Json] = (await self.get("order", f"/api/v1/orders/{order_id}/trace"))["events"]
        return events

    async def event_names(self, order_id: str) -> list[str]:
        return [event["name"] for event in await self.trace(order_id)]

    async def emitted(self, order_id: str, *names: str) -> None:
        """Wait until these events of the order are in the stream."""

        async def there() -> bool:
            return set(names) <= set(await self.event_names(order_id))

        await until(there, f"{names} of order {order_id} are in the stream")

    async def stock(self, product_id: str) -> tuple[int, int]:
        """What is available, and what is reserved."""
        path = f"/api/v1/products/{product_id}/stock"
        body = await self.get("product", path, cache_control="no-cache")
        return body["available"], body["reserved"]

    async def balance(self, customer: str) -> int:
        return int((await self.get("payment", f"/api/v1/wallets/{customer}"))["balance"])

    async def coupon_status(self, issued_coupon_id: str) -> tuple[str, str | None]:
        """Its status, and the order that has it."""
        body = await self.get("coupon", f"/api/v1/issued-coupons/{issued_coupon_id}")
        return body["status"], body["orderId"]

    async def payments(self, order_id: str) -> list[Json]:
        items: list[Json] = (await self.get("payment", f"/api/v1/payments?orderId={order_id}"))[
            "items"
        ]
        return items

    async def dead_letters(self, service: str) -> list[Json]:
        items: list[Json] = (await self.get(service, "/api/v1/ops/dead-letters?size=100"))["items"]
        return items

    # ------------------------------------------------------------ the servers

    def nats(self, user: str = "admin") -> AbstractAsyncContextManager[Client]:
        """A connection to the broker as this user (admin or observer)."""
        return connected(self.environment[f"NATS_URL_{user.upper()}"])

    def command(self, *words: str) -> str:
        """A command of the local stack, such as `kill order`. Returns what it printed."""
        return run_stack(self.environment, *words)

    async def ready(self, *services: str) -> None:
        """Wait until these services, or all, can do their part."""

        async def all_ready() -> bool:
            try:
                answers = [
                    await self.call(service, "GET", "/health/ready")
                    for service in services or SERVICES
                ]
            except aiohttp.ClientError:
                return False
            return all(answer.status == 200 for answer in answers)

        await until(all_ready, f"{services or SERVICES} are ready", timeout_seconds=60)

    async def quiet(self, *, told: bool = True) -> None:
        """Wait until nothing is under way: no event unpublished, none unheard, no order unsent.

        Without `told`, the data platform may still have to be told of orders.
        """
        services = SERVICES if told else [each for each in SERVICES if each != "dataplatform"]

        async def idle() -> bool:
            # In this order: what a consumer has acknowledged is committed, what it led to is in the
            # outbox until the stream has it, and then the stream has grown.
            async with self.nats() as client:
                jetstream = client.jetstream()
                before = (await jetstream.stream_info("SAGA")).state.last_seq
                for service in services:
                    info = await jetstream.consumer_info("SAGA", service)
                    if info.num_pending or info.num_ack_pending:
                        return False
                for service in services:
                    if (await self.get(service, "/api/v1/ops/outbox"))["total"]:
                        return False
                if told and (await self.get("dataplatform", "/api/v1/ops/owed"))["items"]:
                    return False
                return bool((await jetstream.stream_info("SAGA")).state.last_seq == before)

        await until(idle, "nothing is under way", timeout_seconds=60)


def order(customer: str, *lines: tuple[str, int], **more: Any) -> Json:
    """The body of an order: `order(customer, (product_id, quantity), ...)`."""
    items = [{"productId": product, "quantity": quantity} for product, quantity in lines]
    return {"customerId": customer, "items": items} | more


async def until(
    condition: Callable[[], Awaitable[bool]], what: str, timeout_seconds: float = 20
) -> None:
    """Wait for a condition; fail with what was waited for."""
    try:
        async with asyncio.timeout(timeout_seconds):
            while not await condition():
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"waited {timeout_seconds} s in vain until {what}") from None


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Client]:
    client = NatsClient()
    await client.connect(url, connect_timeout=5)
    try:
        yield client
    finally:
        await client.close()


class Opened:
    """`async with Opened(environment) as shop`: the calls on a running stack."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    async def __aenter__(self) -> Shop:
        # The server hangs up on a connection that was idle for five seconds.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=2)
        timeout = aiohttp.ClientTimeout(total=60)
        self._http = aiohttp.ClientSession(connector=connector, timeout=timeout)
        return Shop(self._environment, self._http)

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()
