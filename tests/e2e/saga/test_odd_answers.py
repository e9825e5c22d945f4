"""Odd answers of the payment gateway: each one decides or delays its own order alone."""

import asyncio
from collections.abc import AsyncIterator
from itertools import cycle, islice
from time import monotonic
from typing import Any
from uuid import uuid4

import pytest

from tests.kit.client import Json, Shop, order, wait_until

ORDERS = 40
MAX_SECONDS = 15
"""For all orders, on a busy machine; the longest pause that the gateway asks for is 1 s."""

DECLINED = {"BAD_REQUEST": "the card number is no number", "UNPROCESSABLE": "the card has expired"}
COMPLETED = [
    *("IN_USE", "OVERLOADED", "MAINTENANCE", "UNAUTHORIZED", "REDIRECT", "HTML", "EMPTY"),
    *("MALFORMED", "OTHER_KEY", "ERROR", "CAPTURE_THEN_ERROR", "CAPTURE_THEN_REFUSE"),
]


@pytest.fixture
async def shop(shop: Shop) -> AsyncIterator[Shop]:
    """The gateway behaves well after each test."""
    yield shop
    await shop.call("gateway", "DELETE", "/control/behaviours")


async def behave(shop: Shop, operation: str, does: str, **more: Any) -> None:
    rule = {"operation": operation, "does": does} | more
    await shop.send("gateway", "POST", "/control/behaviours", rule)


async def captured(shop: Shop) -> dict[str, int]:
    """What the gateway holds for each order, in KRW."""
    held: dict[str, int] = {}
    after = 0
    while page := (await shop.get("gateway", f"/v1/statement?after={after}"))["items"]:
        for each in page:
            sign = 1 if each["kind"] == "CAPTURE" else -1
            held[each["reference"]] = held.get(each["reference"], 0) + sign * each["amount"]
        after = page[-1]["sequence"]
    return held


async def buy_with(shop: Shop, product: str, does: str) -> tuple[str, Json]:
    """An order by card whose charge gets this answer once."""
    customer = str(uuid4())
    await behave(shop, "charge", does, customerId=customer, times=1, seconds=1)
    body = order(customer, (product, 1), paymentMethod="CARD")
    return does, await shop.wait_until_ended(await shop.place(body), MAX_SECONDS)


async def test_each_of_40_orders_gets_an_odd_answer_and_is_decided_quickly(shop: Shop) -> None:
    product = await shop.create_product(700, ORDERS)
    answers = islice(cycle((*DECLINED, *COMPLETED)), ORDERS)
    began = monotonic()
    ended = await asyncio.gather(*(buy_with(shop, product, does) for does in answers))
    assert monotonic() - began < MAX_SECONDS

    held = await captured(shop)
    for does, each in ended:
        [payment] = await shop.payments(each["orderId"])
        if does in DECLINED:
            assert (each["status"], each["failReason"]) == ("FAILED", "PG_DECLINED")
            assert (payment["failReason"], payment["failDetail"]) == ("PG_DECLINED", DECLINED[does])
            assert each["orderId"] not in held
        else:
            assert each["status"] == "COMPLETED", does
            assert held[each["orderId"]] == 700
    await shop.wait_until_idle()
    sold = sum(does not in DECLINED for does, _ in ended)
    assert await shop.stock(product) == (ORDERS - sold, 0)


@pytest.mark.parametrize(
    ("does", "status", "detail"),
    [
        ("UNPROCESSABLE", 424, "the card has expired"),
        ("REFUND_THEN_REFUSE", 200, None),
        ("OTHER_KEY", 200, None),
    ],
)
async def test_odd_answer_to_a_refund(
    shop: Shop, does: str, status: int, detail: str | None
) -> None:
    product = await shop.create_product(700, 1)
    _, ended = await buy_with(shop, product, "APPROVE")
    await behave(shop, "refund", does, customerId=ended["customerId"], times=1)
    answer = await shop.cancel(ended["orderId"])
    assert answer.status == status
    [payment] = await shop.payments(ended["orderId"])
    assert payment["failDetail"] == detail
    assert (await captured(shop))[ended["orderId"]] == (700 if status == 424 else 0)


async def test_refused_charge_of_a_wallet_has_the_gateways_reason(shop: Shop) -> None:
    customer = await shop.create_wallet(0)
    await behave(shop, "charge", "UNPROCESSABLE", customerId=customer)
    path = f"/api/v1/wallets/{customer}/charge"
    began = monotonic()
    answer = await shop.call("payment", "POST", path, {"amount": 500})
    assert monotonic() - began < 5
    assert (answer.status, answer.body["error"]) == (502, "PAYMENT_GATEWAY_FAILED")
    details = answer.body["details"]
    assert (details["outcome"], details["failDetail"]) == ("DECLINED", "the card has expired")
    assert await shop.balance(customer) == 0


async def test_gateway_that_is_away_is_shown_and_payment_stays_ready(shop: Shop) -> None:
    product = await shop.create_product(700, 1)
    customer = str(uuid4())
    await behave(shop, "charge", "ERROR", customerId=customer)
    body = order(customer, (product, 1), paymentMethod="CARD")
    order_id = await shop.place(body)

    async def check() -> Json:
        ready = await shop.call("payment", "GET", "/health/ready")
        assert (ready.status, ready.body["status"]) == (200, "ready")
        found: Json = ready.body["checks"]["payment_gateway"]
        assert (found["required"], found["external"]) == (False, True)
        return found

    async def is_away() -> bool:
        found = await check()
        return not found["ok"] and "answered 500" in found["detail"]

    await wait_until(is_away, "the gateway is shown as away")
    figures = (await shop.call("payment", "GET", "/metrics")).body
    for metric in (
        'saga_external_requests_total{outcome="failed",system="payment_gateway"}',
        'saga_external_request_seconds_count{system="payment_gateway"}',
        'saga_external_breaker_state{system="payment_gateway"}',
    ):
        assert metric in figures

    await shop.call("gateway", "DELETE", "/control/behaviours")
    assert (await shop.wait_until_ended(order_id))["status"] == "COMPLETED"
    assert (await check())["ok"]
