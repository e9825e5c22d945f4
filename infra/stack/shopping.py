"""What the demo does over HTTP: customers, coupons, orders, and a look at what is left."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import msgspec

from infra.stack.config import Stack, StackError

_PAUSE_SECONDS = 0.05
_PRICE_SECONDS = 10.0


class Product(msgspec.Struct, frozen=True, rename="camel"):
    product_id: str
    name: str
    price: int
    stock: int


class Shop:
    """The four services. An answer that was not expected ends the demo with what it says."""

    def __init__(self, stack: Stack, http: httpx.AsyncClient) -> None:
        self._stack = stack
        self._http = http

    async def call(
        self, service: str, method: str, path: str, body: Any = None, **headers: str
    ) -> Any:
        """Header names are given as `idempotency_key="..."`."""
        answer = await self._send(service, method, path, body, **headers)
        if not answer.is_success:
            raise StackError(
                f"{service} answered {method} {path} with HTTP {answer.status_code}: "
                f"{answer.text[:300]} Look at: make logs SERVICE={service}"
            )
        return answer.json()

    async def place(self, body: Any) -> str:
        """Place an order and return its id. A product that is new is not known there at once."""
        end = time.monotonic() + _PRICE_SECONDS
        answer = await self._send("order", "POST", "/api/v1/orders", body)
        while answer.status_code == 404 and time.monotonic() < end:
            await asyncio.sleep(_PAUSE_SECONDS)
            answer = await self._send("order", "POST", "/api/v1/orders", body)
        if answer.status_code != 202:
            raise StackError(
                f"The order was refused with HTTP {answer.status_code}: {answer.text[:300]} "
                "Look at: make status"
            )
        return str(answer.json()["orderId"])

    async def in_stock(self, name: str, quantity: int) -> Product:
        """The product that a new stack has under this name, or a new one when it is sold out."""
        found = await self.call("product", "GET", f"/api/v1/products?query={name}&size=100")
        for product in msgspec.convert(found["items"], list[Product]):
            if product.name == name and await self.available(product) >= quantity:
                return product
        body = {"name": name, "price": 5000, "stock": 100, "description": "made by make demo"}
        return msgspec.convert(
            await self.call("product", "POST", "/api/v1/products", body), Product
        )

    async def sold_out(self, name: str) -> Product:
        """A new product, of which there is nothing yet."""
        body = {"name": name, "price": 5000, "stock": 0, "description": "made by make demo"}
        return msgspec.convert(
            await self.call("product", "POST", "/api/v1/products", body), Product
        )

    async def bring_in(self, product: Product, quantity: int) -> None:
        path = f"/api/v1/products/{product.product_id}/stock"
        body = {"delta": quantity, "reason": "DELIVERY", "bookedBy": "make demo"}
        await self.call("product", "PATCH", path, body, idempotency_key=str(uuid4()))

    async def events(self, path: str) -> AsyncIterator[tuple[str, str]]:
        """The server-sent events that a path tells, name and data, until it ends."""
        url = f"{self._stack.url('order')}{path}"
        async with self._http.stream("GET", url) as answer:
            answer.raise_for_status()
            name = ""
            async for line in answer.aiter_lines():
                field, _, value = line.partition(": ")
                if field == "event":
                    name = value
                elif field == "data":
                    yield name, value

    async def available(self, product: Product) -> int:
        path = f"/api/v1/products/{product.product_id}/stock"
        return int((await self.call("product", "GET", path))["available"])

    async def booked(self, product: Product, order_id: str) -> list[int]:
        """What the product's ledger shows for the order, oldest first."""
        placed_at = (await self.call("order", "GET", f"/api/v1/orders/{order_id}"))["createdAt"]
        path = f"/api/v1/products/{product.product_id}/stock/history?from={placed_at}&size=100"
        rows = (await self.call("product", "GET", path))["items"]
        return [int(row["delta"]) for row in rows if row["orderId"] == order_id]

    async def customer(self, balance: int) -> str:
        """A new customer with a wallet that holds this much. Returns the customer's id."""
        customer = str(uuid4())
        await self.call("payment", "POST", "/api/v1/wallets", {"customerId": customer})
        if balance:
            path = f"/api/v1/wallets/{customer}/charge"
            await self.call("payment", "POST", path, {"amount": balance})
        return customer

    async def balance(self, customer: str) -> int:
        return int((await self.call("payment", "GET", f"/api/v1/wallets/{customer}"))["balance"])

    async def coupon(self, customer: str, **terms: Any) -> str:
        """Define a coupon and issue it to the customer. Returns the issued coupon's id."""
        body = {"name": "Welcome", "quantity": 1} | terms
        defined = await self.call("coupon", "POST", "/api/v1/coupons", body)
        path = f"/api/v1/coupons/{defined['couponId']}/issue"
        issued = await self.call("coupon", "POST", path, {"customerId": customer})
        return str(issued["issuedCouponId"])

    async def coupon_status(self, issued_coupon_id: str) -> str:
        path = f"/api/v1/issued-coupons/{issued_coupon_id}"
        return str((await self.call("coupon", "GET", path))["status"])

    def order(self, customer: str, *lines: tuple[Product, int], coupon: str | None = None) -> Any:
        """An order's body."""
        items = [{"productId": product.product_id, "quantity": n} for product, n in lines]
        body: dict[str, Any] = {"customerId": customer, "items": items}
        return body | ({"couponId": coupon} if coupon else {})

    async def _send(
        self, service: str, method: str, path: str, body: Any, **headers: str
    ) -> httpx.Response:
        url = f"{self._stack.url(service)}{path}"
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self._http.request(method, url, json=body, headers=sent)
