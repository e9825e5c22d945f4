"""Customers of every kind, who keep buying and cancelling whatever happens to the stack."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any
from uuid import uuid4

import aiohttp

from tests.correctness.chaos.facts import Facts
from tests.kit.client import Json, Response, Shop, UnexpectedResponse, order

PAUSE_SECONDS = 0.1
LOOK_SECONDS = 0.3
MAX_THOUGHT_SECONDS = 0.5
"""The longest time that a customer takes before an order. The audits that wait for all of a run's
orders take longer with each of them."""

ENDS = frozenset({"COMPLETED", "FAILED", "CANCELLED"})
CANCELLED_SHARE = 0.2
TOP_UP = 7
COUPON = {"name": "chaos", "discountType": "FIXED", "discountValue": 50, "quantity": 1}


class InsistentShop(Shop):
    """Sends a request again until it gets an answer other than 503."""

    def __init__(self, shop: Shop) -> None:
        super().__init__(shop.environment, shop.http)
        self.answers = Counter[str]()
        self.post_seconds: list[float] = []

    async def call(
        self, service: str, method: str, path: str, json: Any = None, **headers: str
    ) -> Response:
        while True:
            began = monotonic()
            try:
                answer = await super().call(service, method, path, json, **headers)
            except (aiohttp.ClientError, TimeoutError):
                self.answers["no answer"] += 1
            else:
                self.answers[f"{answer.status}"] += 1
                assert answer.status < 500 or answer.status in (502, 503), answer
                if answer.status != 503:
                    if path.endswith("/orders") and "prefer" not in headers:
                        self.post_seconds.append(monotonic() - began)
                    return answer
            await asyncio.sleep(PAUSE_SECONDS)


class Shoppers:
    """`open`: the accepted orders whose end is not known yet. `ended`: the others, as last seen.

    `gone`: orders that the order service does not know any more. `may_buy`: cleared for a pause.
    """

    def __init__(self, shop: Shop, chance: random.Random) -> None:
        self._shop = InsistentShop(shop)
        self._chance = chance
        self.facts = Facts()
        self.open: set[str] = set()
        self.ended: dict[str, str] = {}
        self.gone: set[str] = set()
        self._cancelling: set[str] = set()
        self.answers = self._shop.answers
        self.post_seconds = self._shop.post_seconds
        self.is_closing = asyncio.Event()
        self.may_buy = asyncio.Event()
        self.may_buy.set()
        self._kinds: tuple[Callable[[], Awaitable[Json]], ...] = (
            self._rich,
            self._rich,
            self._with_coupon,
            self._short,
            self._waiting,
            self._poor,
            self._card,
            self._card,
        )

    async def prepare(self) -> None:
        """Create the products and wallets that they need."""
        shop = self._shop
        self._product = await shop.create_product(price=100, stock=1_000_000)
        self._rare = await shop.create_product(price=100, stock=200)
        self._rich_customer = await shop.create_wallet(900_000_000)
        self._poor_customer = await shop.create_wallet(5_000)

    async def keep_buying(self) -> None:
        """Place one order after the other until `is_closing` is set."""
        while not self.is_closing.is_set():
            await asyncio.sleep(self._chance.uniform(0, MAX_THOUGHT_SECONDS))
            await self.may_buy.wait()
            body = await self._chance.choice(self._kinds)()
            cancels = self._chance.random() < CANCELLED_SHARE
            headers = {"idempotency_key": str(uuid4())} | ({"prefer": "wait=5"} if cancels else {})
            answer = await self._shop.call("order", "POST", "/api/v1/orders", body, **headers)
            self.open.add(answer.body["orderId"])
            if cancels and answer.body["status"] == "COMPLETED":
                await self._cancel(answer.body["orderId"])

    async def watch_orders(self, is_recovering: Callable[[], bool]) -> None:
        """Read how orders end, until cancelled. A restored order service is behind for a while."""
        while True:
            for order_id in list(self.open - self._cancelling):
                was_recovering = is_recovering()
                answer = await self._shop.call("order", "GET", f"/api/v1/orders/{order_id}")
                if was_recovering or is_recovering():
                    break
                if answer.status == 404:
                    self.open.remove(order_id)
                    self.gone.add(order_id)
                elif answer.body["status"] in ENDS and order_id not in self._cancelling:
                    self.open.remove(order_id)
                    self.ended[order_id] = answer.body["status"]
            await asyncio.sleep(LOOK_SECONDS)

    async def keep_stocked(self) -> None:
        """Bring the rare product in again and again, for the orders that wait."""
        while not self.is_closing.is_set():
            fact = self.facts.stock(str(uuid4()), self._rare, 1)
            path = f"/api/v1/products/{self._rare}/stock"
            body = {"delta": 1, "reason": "delivery"}
            await self._shop.send("product", "PATCH", path, body, idempotency_key=fact.key)
            fact.answered_at = monotonic()
            await asyncio.sleep(PAUSE_SECONDS)

    async def keep_charging(self) -> None:
        """Charge a wallet again and again; a charge that fails has changed nothing."""
        while not self.is_closing.is_set():
            path = f"/api/v1/wallets/{self._rich_customer}/charge"
            key = str(uuid4())
            self.facts.top_up(key, self._rich_customer, TOP_UP)
            await self._shop.call("payment", "POST", path, {"amount": TOP_UP}, idempotency_key=key)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _cancel(self, order_id: str) -> None:
        """Send two cancels at once, as a double click does."""
        self._cancelling.add(order_id)
        await asyncio.gather(self._shop.cancel(order_id), self._shop.cancel(order_id))
        self._cancelling.remove(order_id)

    async def _rich(self) -> Json:
        return order(self._rich_customer, (self._product, self._chance.randint(1, 3)))

    async def _poor(self) -> Json:
        return order(self._poor_customer, (self._product, self._chance.randint(1, 9)))

    async def _short(self) -> Json:
        """More units than there are, sooner or later."""
        lines = ((self._product, 1), (self._rare, self._chance.randint(1, 5)))
        return order(self._rich_customer, *lines)

    async def _waiting(self) -> Json:
        lines = (self._rare, self._chance.randint(1, 3))
        return order(self._rich_customer, lines, onShortage="WAIT")

    async def _card(self) -> Json:
        lines = (self._product, self._chance.randint(1, 3))
        return order(str(uuid4()), lines, paymentMethod="CARD")

    async def _with_coupon(self) -> Json:
        """A coupon for a single use, which another order of the same customer may want too."""
        if not hasattr(self, "_coupon") or self._chance.random() < 0.5:
            try:
                self._coupon: str = await self._new_coupon()
            except UnexpectedResponse:  # it was issued or forgotten, and the answer was lost
                return await self._rich()
        return order(self._rich_customer, (self._product, 1), couponId=self._coupon)

    async def _new_coupon(self) -> str:
        customer = {"customerId": self._rich_customer}
        coupon_id = (await self._shop.send("coupon", "POST", "/api/v1/coupons", COUPON))["couponId"]
        path = f"/api/v1/coupons/{coupon_id}/issue"
        issued: str = (await self._shop.send("coupon", "POST", path, customer))["issuedCouponId"]
        booking = customer | {"issuedCouponId": issued, "couponId": coupon_id, "definition": COUPON}
        self.facts.coupon(issued, booking)
        return issued
