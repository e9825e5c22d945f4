"""Events that are delivered again, in any order, have no second effect."""

import random
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
from nats.js.api import RawStreamMsg

from tests.e2e.saga.broker_stream import headers_of, messages, name_of, names, publish
from tests.e2e.saga.event_chains import COMPLETED
from tests.kit.client import SERVICES, Json, Shop, order


class Ended:
    """An order that has ended, and all that it may have changed."""

    def __init__(self, order_id: str, customer: str, product: str, coupon: str) -> None:
        self.order_id = order_id
        self.customer = customer
        self.product = product
        self.coupon = coupon

    async def state(self, shop: Shop) -> list[Any]:
        return [
            await shop.get("order", f"/api/v1/orders/{self.order_id}"),
            await shop.stock(self.product),
            await shop.stock_entries(self.product),
            await shop.balance(self.customer),
            await shop.wallet_entries(self.customer),
            await shop.payments(self.order_id),
            await shop.get("coupon", f"/api/v1/issued-coupons/{self.coupon}"),
        ]


async def completed(shop: Shop) -> Ended:
    product, customer = await shop.create_product(2_000, 5), await shop.create_wallet(10_000)
    coupon = await shop.create_coupon(customer)
    ended = await shop.buy(order(customer, (product, 2), couponId=coupon))
    assert ended["status"] == "COMPLETED"
    return Ended(ended["orderId"], customer, product, coupon)


async def refused_coupon(shop: Shop) -> Ended:
    product, customer = await shop.create_product(2_000, 5), await shop.create_wallet(10_000)
    coupon = await shop.create_coupon(customer, minOrderAmount=100_000)
    ended = await shop.buy(order(customer, (product, 2), couponId=coupon))
    assert ended["failReason"] == "COUPON_MIN_AMOUNT"
    return Ended(ended["orderId"], customer, product, coupon)


async def short_stock(shop: Shop) -> Ended:
    """There is enough stock when the events are repeated, and another order uses the coupon."""
    product, customer = await shop.create_product(2_000, 5), await shop.create_wallet(100_000)
    coupon = await shop.create_coupon(customer)
    ended = await shop.buy(order(customer, (product, 6), couponId=coupon))
    assert ended["failReason"] == "INSUFFICIENT_STOCK"
    await used_by_another(shop, customer, coupon, ended["orderId"])
    path, key = f"/api/v1/products/{product}/stock", str(uuid4())
    more = await shop.call("product", "PATCH", path, {"delta": 9}, idempotency_key=key)
    assert more.status == 200, more
    return Ended(ended["orderId"], customer, product, coupon)


async def failed_payment(shop: Shop) -> Ended:
    """There is enough money when the events are repeated, and another order uses the coupon."""
    product, customer = await shop.create_product(2_000, 5), await shop.create_wallet(100)
    coupon = await shop.create_coupon(customer)
    ended = await shop.buy(order(customer, (product, 2), couponId=coupon))
    assert ended["failReason"] == "INSUFFICIENT_BALANCE"
    charge = f"/api/v1/wallets/{customer}/charge"
    charged = await shop.call("payment", "POST", charge, {"amount": 100_000})
    assert charged.status == 200, charged
    await used_by_another(shop, customer, coupon, ended["orderId"])
    return Ended(ended["orderId"], customer, product, coupon)


async def used_by_another(shop: Shop, customer: str, coupon: str, first: str) -> None:
    await shop.wait_for_events(first, "CouponRestored")
    other = await shop.create_product(3_000, 1)
    again = await shop.buy(order(customer, (other, 1), couponId=coupon))
    assert (again["status"], again["discountAmount"]) == ("COMPLETED", 1_000)


KINDS: list[Callable[[Shop], Awaitable[Ended]]] = [
    completed,
    refused_coupon,
    short_stock,
    failed_payment,
]


def backwards(events: list[RawStreamMsg]) -> list[RawStreamMsg]:
    return events[::-1]


def shuffled(events: list[RawStreamMsg]) -> list[RawStreamMsg]:
    return random.Random(20).sample(events * 2, 2 * len(events))  # each one twice


def same_headers(event: RawStreamMsg) -> dict[str, str]:
    return headers_of(event)


def no_headers(event: RawStreamMsg) -> dict[str, str]:
    return {}


@pytest.mark.parametrize("headers", [same_headers, no_headers])
@pytest.mark.parametrize("arrange", [backwards, shuffled])
async def test_republished_events_have_no_effect(
    forged_shop: Shop,
    arrange: Callable[[list[RawStreamMsg]], list[RawStreamMsg]],
    headers: Callable[[RawStreamMsg], dict[str, str]],
) -> None:
    shop = forged_shop
    orders = [await make(shop) for make in KINDS]
    await shop.wait_until_idle()
    before = [await ended.state(shop) for ended in orders]
    events = [await messages(shop, ended.order_id) for ended in orders]
    letters = {service: len(await shop.dead_letters(service)) for service in SERVICES}

    copies = arrange([event for each in events for event in each])
    async with shop.nats() as client:
        for event in copies:
            await publish(client, event.subject or "", event.data or b"", headers(event))
    await shop.wait_until_idle()

    assert [await ended.state(shop) for ended in orders] == before
    for ended, published in zip(orders, events, strict=True):
        # A copy under another id is answered with a retransmission of the last published event.
        assert set(await names(shop, ended.order_id)) == set(map(name_of, published))
    assert letters == {service: len(await shop.dead_letters(service)) for service in SERVICES}


# ---------------------------------------------------------------- failure before the order is known


class UnknownOrder:
    """The events of an order that no service knows."""

    def __init__(self, customer: str, product: str, coupon: str) -> None:
        self.order_id = str(uuid4())
        self.product = product
        self.coupon = coupon
        lines = [{"productId": product, "quantity": 2, "price": 2_000}]
        who: Json = {"orderId": self.order_id, "customerId": customer, "items": lines}
        amounts = {"totalAmount": 4_000, "discountAmount": 1_000, "payableAmount": 3_000}
        self.bodies: dict[str, Json] = {
            "OrderCreated": who | {"totalAmount": 4_000, "couponId": coupon},
            "CouponUsed": who | amounts | {"couponId": coupon},
            "StockUnavailable": {
                "orderId": self.order_id,
                "reason": "INSUFFICIENT_STOCK",
                "productId": product,
            },
            "PaymentFailed": {"orderId": self.order_id, "reason": "INSUFFICIENT_BALANCE"},
            "StockRestored": {"orderId": self.order_id, "items": lines},
        }


@pytest.mark.parametrize("at_once", [False, True], ids=["one-by-one", "at-once"])
@pytest.mark.parametrize(
    "events",
    [
        ["PaymentFailed", "OrderCreated", "CouponUsed"],
        ["PaymentFailed", "CouponUsed", "OrderCreated"],
        ["StockUnavailable", "OrderCreated"],
        ["StockRestored", "OrderCreated"],
    ],
    ids="-".join,
)
async def test_order_known_as_failed_before_its_creation_has_no_effect(
    forged_shop: Shop, events: list[str], at_once: bool
) -> None:
    shop = forged_shop
    product, customer = await shop.create_product(2_000, 5), await shop.create_wallet(10_000)
    coupon = await shop.create_coupon(customer)
    unknown = UnknownOrder(customer, product, coupon)

    async with shop.nats() as client:
        for name in events:
            await publish(client, f"saga.{unknown.order_id}.{name}", unknown.bodies[name])
            if not at_once:
                await shop.wait_until_idle()
    await shop.wait_until_idle()

    repeated = ["StockRestored"] if "CouponUsed" in events else []  # coupon may have missed it
    assert set(await names(shop, unknown.order_id)) == {*events, *repeated}
    assert await shop.stock(product) == (5, 0)
    assert len(await shop.stock_entries(product)) == 1
    assert await shop.coupon_status(coupon) == ("ISSUED", None)
    assert await shop.payments(unknown.order_id) == []
    assert len(await shop.wallet_entries(customer)) == 1
    alive = await shop.buy(order(customer, (product, 5), couponId=coupon))
    assert alive["status"] == "COMPLETED"


async def test_tombstone_of_another_order_holds_no_coupon_and_no_stock(forged_shop: Shop) -> None:
    """A tombstone belongs to its order, not to its coupon or product."""
    shop = forged_shop
    product, customer = await shop.create_product(2_000, 5), await shop.create_wallet(10_000)
    coupon = await shop.create_coupon(customer)
    unknown = UnknownOrder(customer, product, coupon)
    holder = await shop.buy(order(customer, (product, 1), couponId=coupon))

    async with shop.nats() as client:
        for name in ("PaymentFailed", "StockRestored", "StockUnavailable"):
            await publish(client, f"saga.{unknown.order_id}.{name}", unknown.bodies[name])
    await shop.wait_until_idle()

    assert await shop.coupon_status(coupon) == ("USED", holder["orderId"])
    assert await shop.stock(product) == (4, 0)
    assert await names(shop, holder["orderId"]) == COMPLETED
