"""Orders that fail: their reason is published, and every effect is compensated."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from tests.e2e.saga.broker_stream import body_of, headers_of, messages, name_of, names, publish
from tests.kit.client import Json, Shop, order, wait_until

NO_COUPON = ["CouponRejected", "OrderCreated", "OrderFailed"]
NO_STOCK = ["CouponRestored", "CouponUsed", "OrderCreated", "OrderFailed", "StockUnavailable"]
NO_MONEY = [
    "CouponRestored",
    "CouponUsed",
    "OrderCreated",
    "OrderFailed",
    "PaymentFailed",
    "StockDecremented",
    "StockRestored",
]


async def assert_fails(shop: Shop, body: Json, reason: str, events: list[str]) -> Json:
    """Place an order; assert that it fails for this reason, with these events, once each."""
    ended = await shop.buy(body)
    assert (ended["status"], ended["failReason"]) == ("FAILED", reason)
    await shop.wait_until_idle()
    found = await messages(shop, ended["orderId"])
    assert sorted(name_of(message) for message in found) == events
    before: set[str | None] = {None}
    for event in map(headers_of, found):
        assert event.get("ce-causationid") in before, event
        before.add(event["ce-id"])
    [end] = [body_of(message) for message in found if name_of(message) == "OrderFailed"]
    assert end == {"orderId": ended["orderId"], "customerId": body["customerId"], "reason": reason}
    return ended


# ---------------------------------------------------------------- the coupon is refused


async def unknown(shop: Shop, customer: str, product: str) -> str:
    return str(uuid4())


async def of_another_customer(shop: Shop, customer: str, product: str) -> str:
    return await shop.create_coupon(str(uuid4()))


async def used_before(shop: Shop, customer: str, product: str) -> str:
    coupon = await shop.create_coupon(customer)
    first = await shop.buy(order(customer, (product, 2), couponId=coupon))
    assert first["status"] == "COMPLETED"
    return coupon


async def expired_coupon(shop: Shop, customer: str, product: str) -> str:
    coupon = await shop.create_coupon(
        customer, validUntil=(datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    )

    async def expired() -> bool:
        return (await shop.coupon_status(coupon))[0] == "EXPIRED"

    await wait_until(expired, "the coupon has expired")
    return coupon


async def not_valid_yet(shop: Shop, customer: str, product: str) -> str:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    return await shop.create_coupon(customer, validFrom=tomorrow.isoformat())


async def for_larger_orders(shop: Shop, customer: str, product: str) -> str:
    return await shop.create_coupon(customer, minOrderAmount=2_001)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (unknown, "COUPON_NOT_FOUND"),
        (of_another_customer, "COUPON_NOT_OWNED"),
        (used_before, "COUPON_ALREADY_USED"),
        (expired_coupon, "COUPON_EXPIRED"),
        (not_valid_yet, "COUPON_NOT_YET_VALID"),
        (for_larger_orders, "COUPON_MIN_AMOUNT"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
async def test_order_with_a_refused_coupon_fails_without_effect(
    shop: Shop, make: Callable[[Shop, str, str], Awaitable[str]], reason: str
) -> None:
    product = await shop.create_product(price=1_000, stock=9)
    customer = await shop.create_wallet(10_000)
    coupon = await make(shop, customer, product)
    await shop.wait_until_idle()
    path = f"/api/v1/issued-coupons/{coupon}"
    before = (
        await shop.stock(product),
        await shop.stock_entries(product),
        await shop.wallet_entries(customer),
        (await shop.call("coupon", "GET", path)).body,
    )

    ended = await assert_fails(
        shop, order(customer, (product, 2), couponId=coupon), reason, NO_COUPON
    )

    assert await shop.payments(ended["orderId"]) == []
    assert before == (
        await shop.stock(product),
        await shop.stock_entries(product),
        await shop.wallet_entries(customer),
        (await shop.call("coupon", "GET", path)).body,
    )


async def test_refused_coupon_can_be_used_by_another_order(shop: Shop) -> None:
    product = await shop.create_product(price=1_000, stock=9)
    owner, other = await shop.create_wallet(10_000), await shop.create_wallet(10_000)
    coupon = await shop.create_coupon(owner, minOrderAmount=2_000)
    too_small = order(owner, (product, 1), couponId=coupon)
    not_owned = order(other, (product, 2), couponId=coupon)
    await assert_fails(shop, too_small, "COUPON_MIN_AMOUNT", NO_COUPON)
    await assert_fails(shop, not_owned, "COUPON_NOT_OWNED", NO_COUPON)

    ended = await shop.buy(order(owner, (product, 2), couponId=coupon))

    assert (ended["status"], ended["discountAmount"]) == ("COMPLETED", 1_000)
    assert await shop.coupon_status(coupon) == ("USED", ended["orderId"])


# ---------------------------------------------------------------- product can't reserve


@pytest.mark.parametrize("short", [0, 1, 2])
async def test_order_with_one_line_out_of_stock_fails_without_effect(
    shop: Shop, short: int
) -> None:
    products = [await shop.create_product(price=1_000, stock=5) for _ in range(3)]
    customer = await shop.create_wallet(50_000)
    coupon = await shop.create_coupon(customer)
    lines = [(product, 6 if at == short else 1) for at, product in enumerate(products)]

    body = order(customer, *lines, couponId=coupon)
    ended = await assert_fails(shop, body, "INSUFFICIENT_STOCK", NO_STOCK)

    unavailable = [
        body_of(message)
        for message in await messages(shop, ended["orderId"])
        if name_of(message) == "StockUnavailable"
    ]
    assert unavailable == [
        {
            "orderId": ended["orderId"],
            "reason": "INSUFFICIENT_STOCK",
            "productId": products[short],
        }
    ]
    for product in products:
        assert await shop.stock(product) == (5, 0)
        assert len(await shop.stock_entries(product)) == 1
    assert await shop.payments(ended["orderId"]) == []
    assert await shop.balance(customer) == 50_000
    assert await shop.coupon_status(coupon) == ("ISSUED", None)

    again = await shop.buy(order(customer, *((each, 1) for each in products), couponId=coupon))
    assert (again["status"], again["payableAmount"]) == ("COMPLETED", 2_000)


async def test_order_fails_when_its_product_is_discontinued_meanwhile(breakable_shop: Shop) -> None:
    """The stopped coupon service holds the order between its acceptance and the stock."""
    shop = breakable_shop
    kept, gone = await shop.create_product(1_000, 5), await shop.create_product(1_000, 5)
    customer = await shop.create_wallet(50_000)
    coupon = await shop.create_coupon(customer)
    await asyncio.to_thread(shop.command, "stop", "coupon")
    order_id = await shop.place(order(customer, (kept, 1), (gone, 1), couponId=coupon))
    deleted = await shop.call("product", "DELETE", f"/api/v1/products/{gone}")
    assert deleted.status == 204, deleted
    await asyncio.to_thread(shop.command, "start", "coupon")

    ended = await shop.wait_until_ended(order_id)
    await shop.wait_until_idle()

    assert (ended["status"], ended["failReason"]) == ("FAILED", "PRODUCT_DISCONTINUED")
    assert sorted(await names(shop, order_id)) == NO_STOCK
    assert await shop.stock(kept) == await shop.stock(gone) == (5, 0)
    assert await shop.payments(order_id) == []
    assert await shop.balance(customer) == 50_000
    assert await shop.coupon_status(coupon) == ("ISSUED", None)
    again = await shop.buy(order(customer, (kept, 1), couponId=coupon))
    assert again["status"] == "COMPLETED"


async def test_order_with_an_unknown_product_is_compensated(forged_shop: Shop) -> None:
    """The order service refuses it over HTTP, so its event is published by hand."""
    shop = forged_shop
    known = await shop.create_product(1_000, 5)
    order_id, customer, missing = str(uuid4()), await shop.create_wallet(50_000), str(uuid4())
    lines = [{"productId": each, "quantity": 1, "price": 1_000} for each in (known, missing)]
    created = {"orderId": order_id, "customerId": customer, "items": lines, "totalAmount": 2_000}

    async with shop.nats() as client:
        await publish(client, f"saga.{order_id}.OrderCreated", created)
    await shop.wait_until_idle()

    found = {name_of(message): body_of(message) for message in await messages(shop, order_id)}
    assert set(found) == {"OrderCreated", "CouponUsed", "StockUnavailable", "CouponRestored"}
    assert found["StockUnavailable"] == {
        "orderId": order_id,
        "reason": "PRODUCT_NOT_FOUND",
        "productId": missing,
    }
    assert await shop.stock(known) == (5, 0)
    assert await shop.payments(order_id) == []


# ---------------------------------------------------------------- payment fails


@pytest.mark.parametrize("reason", ["INSUFFICIENT_BALANCE", "WALLET_NOT_FOUND"])
async def test_failed_payment_restores_stock_and_coupon(shop: Shop, reason: str) -> None:
    first, second = await shop.create_product(1_000, 5), await shop.create_product(300, 5)
    has_wallet = reason == "INSUFFICIENT_BALANCE"
    customer = await shop.create_wallet(1_299) if has_wallet else str(uuid4())
    coupon = await shop.create_coupon(customer)  # it leaves 1,300 of 2,300 to pay
    body = order(customer, (first, 2), (second, 1), couponId=coupon)

    ended = await assert_fails(shop, body, reason, NO_MONEY)

    order_id = ended["orderId"]
    for product, quantity in ((first, 2), (second, 1)):
        assert await shop.stock(product) == (5, 0)
        booked = [(each["requestId"], each["delta"]) for each in await shop.stock_entries(product)]
        undone = [(f"DEC-{order_id}", -quantity), (f"INC-{order_id}", quantity)]
        assert booked[1:] == undone
    [payment] = await shop.payments(order_id)
    assert (payment["status"], payment["failReason"]) == ("FAILED", reason)
    assert payment["amount"] == 1_300
    assert await shop.coupon_status(coupon) == ("ISSUED", None)
    if has_wallet:
        assert await shop.balance(customer) == 1_299
        assert len(await shop.wallet_entries(customer)) == 1
    else:
        opened = await shop.call("payment", "POST", "/api/v1/wallets", {"customerId": customer})
        assert opened.status == 201, opened

    charge = f"/api/v1/wallets/{customer}/charge"
    assert (await shop.call("payment", "POST", charge, {"amount": 5_000})).status == 200
    again = await shop.buy(body)
    assert (again["status"], again["payableAmount"]) == ("COMPLETED", 1_300)
    assert await shop.coupon_status(coupon) == ("USED", again["orderId"])
    assert [each["status"] for each in await shop.payments(order_id)] == ["FAILED"]
