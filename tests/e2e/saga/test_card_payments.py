"""Payments by card and charges of wallets, through a gateway that misbehaves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest

from tests.kit.client import Json, Response, Shop, order, wait_until


@pytest.fixture
def shop(timeout_shop: Shop) -> Shop:
    """A stack where orders time out after four seconds."""
    return timeout_shop


@asynccontextmanager
async def gateway(shop: Shop, operation: str, does: str, **more: Any) -> AsyncIterator[None]:
    """The simulated gateway behaves like this until the block ends."""
    rule = {"operation": operation, "does": does} | more
    answer = await shop.call("gateway", "POST", "/control/behaviours", rule)
    assert answer.status == 200, answer
    try:
        yield
    finally:
        await shop.call("gateway", "DELETE", "/control/behaviours")


async def statement(shop: Shop, reference: str) -> list[tuple[str, int]]:
    """What the gateway has captured and refunded for an order or a charge."""
    items: list[Json] = []
    while page := (await shop.get("gateway", f"/v1/statement?after={len(items)}"))["items"]:
        items += page
    return [(each["kind"], each["amount"]) for each in items if each["reference"] == reference]


async def place_by_card(shop: Shop, price: int = 700, stock: int = 5) -> tuple[str, str]:
    """Place an order of one unit by card. Returns its id and the product's id."""
    product = await shop.create_product(price, stock)
    body = order(str(uuid4()), (product, 1), paymentMethod="CARD")
    return await shop.place(body), product


async def test_order_by_card_captures_its_amount(shop: Shop) -> None:
    order_id, product = await place_by_card(shop)
    ended = await shop.wait_until_ended(order_id)
    assert (ended["status"], ended["paymentMethod"]) == ("COMPLETED", "CARD")
    assert await statement(shop, order_id) == [("CAPTURE", 700)]
    await shop.wait_until_idle()
    assert await shop.stock(product) == (4, 0)
    [payment] = await shop.payments(order_id)
    assert (payment["method"], payment["status"], payment["amount"]) == ("CARD", "COMPLETED", 700)
    trace = await shop.trace(order_id)
    names = {event["id"]: event["name"] for event in trace}
    paid = next(event for event in trace if event["name"] == "PaymentCompleted")
    assert names[paid["cause"]] == "StockDecremented"


async def test_declined_card_fails_the_order(shop: Shop) -> None:
    async with gateway(shop, "charge", "DECLINE"):
        order_id, product = await place_by_card(shop)
        ended = await shop.wait_until_ended(order_id)
    assert (ended["status"], ended["failReason"]) == ("FAILED", "PG_DECLINED")
    assert await statement(shop, order_id) == []
    await shop.wait_until_idle()
    assert await shop.stock(product) == (5, 0)


@pytest.mark.parametrize("does", ["ERROR", "CAPTURE_THEN_ERROR", "ANSWER_TWICE"])
async def test_charge_is_retried_until_its_outcome_is_known(shop: Shop, does: str) -> None:
    async with gateway(shop, "charge", does, times=3):
        order_id, _ = await place_by_card(shop)
        ended = await shop.wait_until_ended(order_id)
    assert ended["status"] == "COMPLETED"
    assert await statement(shop, order_id) == [("CAPTURE", 700)]


async def test_timed_out_order_is_voided_at_the_gateway(shop: Shop) -> None:
    """The charge is in flight when the order times out, and is never captured."""
    async with gateway(shop, "charge", "LAND_LATE", seconds=600):
        order_id, product = await place_by_card(shop)
        ended = await shop.wait_until_ended(order_id, 30)
    assert (ended["status"], ended["failReason"]) == ("FAILED", "ORDER_TIMED_OUT")
    assert await statement(shop, order_id) == []
    await shop.wait_until_idle()
    assert await shop.stock(product) == (5, 0)


async def test_charge_captured_before_the_void_completes_the_order(
    shop: Shop,
) -> None:
    """The gateway answers that it knows no charge, and captures it later even so."""
    async with (
        gateway(shop, "charge", "LAND_LATE", seconds=2),
        gateway(shop, "void", "ERROR"),
    ):
        order_id, product = await place_by_card(shop)
        ended = await shop.wait_until_ended(order_id, 30)
    assert ended["status"] == "COMPLETED"
    assert await statement(shop, order_id) == [("CAPTURE", 700)]
    await shop.wait_until_idle()
    assert await shop.stock(product) == (4, 0)


async def test_cancel_refunds_the_card(shop: Shop) -> None:
    order_id, product = await place_by_card(shop)
    await shop.wait_until_ended(order_id)
    answer = await shop.cancel(order_id)
    assert (answer.status, answer.body["status"]) == (200, "CANCELLED")
    assert await statement(shop, order_id) == [("CAPTURE", 700), ("REFUND", 700)]
    assert await shop.stock(product) == (5, 0)


async def test_refused_refund_leaves_the_order_completed(shop: Shop) -> None:
    order_id, product = await place_by_card(shop)
    await shop.wait_until_ended(order_id)
    async with gateway(shop, "refund", "REFUSE"):
        refused = await shop.cancel(order_id)
    assert (refused.status, refused.body["error"]) == (424, "DEPENDENCY_FAILED")
    kept = await shop.get("order", f"/api/v1/orders/{order_id}")
    assert kept["status"] == "COMPLETED"
    assert kept["cancellation"] == {"state": "REFUSED", "attempt": 1}
    await shop.wait_until_idle()
    assert await shop.stock(product) == (4, 0)

    done = await shop.cancel(order_id)

    assert done.body["cancellation"] == {"state": "DONE", "attempt": 2}
    assert await statement(shop, order_id) == [("CAPTURE", 700), ("REFUND", 700)]


@pytest.mark.parametrize("does", ["ERROR", "REFUND_THEN_ERROR"])
async def test_refund_is_retried_until_its_outcome_is_known(shop: Shop, does: str) -> None:
    order_id, _ = await place_by_card(shop)
    await shop.wait_until_ended(order_id)
    async with gateway(shop, "refund", does, times=2):
        answer = await shop.cancel(order_id)
    assert answer.body["status"] == "CANCELLED"
    assert await statement(shop, order_id) == [("CAPTURE", 700), ("REFUND", 700)]


async def test_external_call_is_executed_again_after_a_crash(shop: Shop) -> None:
    async with gateway(shop, "charge", "CAPTURE_THEN_HANG", seconds=20, times=1):
        order_id, _ = await place_by_card(shop)

        async def captured() -> bool:
            return bool(await statement(shop, order_id))

        await wait_until(captured, "the gateway has captured the charge")
        await asyncio.to_thread(shop.command, "kill", "payment")
        ended = await shop.wait_until_ended(order_id, 60)
    assert ended["status"] == "COMPLETED"
    assert await statement(shop, order_id) == [("CAPTURE", 700)]
    await shop.wait_until_ready()


# ---------------------------------------------------------------- wallets


async def charge(shop: Shop, customer: str, amount: int, **headers: str) -> Response:
    path = f"/api/v1/wallets/{customer}/charge"
    return await shop.call("payment", "POST", path, {"amount": amount}, **headers)


async def test_charge_adds_to_the_balance(shop: Shop) -> None:
    customer = await shop.create_wallet(0)
    answer = await charge(shop, customer, 500)
    assert (answer.status, answer.body) == (200, {"customerId": customer, "balance": 500})


@pytest.mark.parametrize("does", ["DECLINE", "HANG", "CAPTURE_THEN_HANG", "LAND_LATE"])
async def test_failed_charge_leaves_the_balance_as_it_was(shop: Shop, does: str) -> None:
    customer = await shop.create_wallet(100)
    async with gateway(shop, "charge", does, customerId=customer, seconds=30, times=1):
        answer = await charge(shop, customer, 500)
        known = answer.status == 200
    assert (answer.status, answer.body.get("error")) in (
        (502, "PAYMENT_GATEWAY_FAILED"),
        (200, None),  # a retry found it captured
    )
    assert await shop.balance(customer) == (600 if known else 100)


@pytest.mark.parametrize(("does", "outcome"), [("DECLINE", "DECLINED"), ("ERROR", "NO_ANSWER")])
async def test_failed_charge_names_the_gateways_outcome(
    shop: Shop, does: str, outcome: str
) -> None:
    """Also when the same request is sent again, after the gateway has voided the key."""
    customer = await shop.create_wallet(0)
    async with gateway(shop, "charge", does, customerId=customer):
        first = await charge(shop, customer, 500, idempotency_key="k")
    assert (first.status, first.body["error"]) == (502, "PAYMENT_GATEWAY_FAILED")
    assert first.body["details"]["outcome"] == outcome
    await shop.wait_until_idle()
    again = await charge(shop, customer, 500, idempotency_key="k")
    assert (again.status, again.body) == (502, first.body)
    assert await statement(shop, first.body["details"]["topUpId"]) == []
    assert await shop.balance(customer) == 0


async def test_repeated_charge_with_a_key_gets_the_first_answer(shop: Shop) -> None:
    customer = await shop.create_wallet(0)
    first = await charge(shop, customer, 500, idempotency_key="k")
    assert (await charge(shop, customer, 7)).body["balance"] == 507
    again = await charge(shop, customer, 500, idempotency_key="k")
    assert (again.status, again.body) == (200, first.body)
    assert again.headers["Idempotency-Replayed"] == "true"
    other = await charge(shop, customer, 501, idempotency_key="k")
    assert (other.status, other.body["error"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert await shop.balance(customer) == 507


async def test_repeated_failed_charge_gets_the_first_answer(shop: Shop) -> None:
    customer = await shop.create_wallet(0)
    async with gateway(shop, "charge", "DECLINE", customerId=customer):
        first = await charge(shop, customer, 500, idempotency_key="k")
    again = await charge(shop, customer, 500, idempotency_key="k")
    assert [first.status, again.status] == [502, 502]
    assert await shop.balance(customer) == 0


async def test_wallet_orders_end_while_the_gateway_hangs(shop: Shop) -> None:
    async with gateway(shop, "charge", "HANG", seconds=60):
        hanging = [(await place_by_card(shop))[0] for _ in range(5)]
        product, customer = (
            await shop.create_product(100, 50),
            await shop.create_wallet(0),
        )
        placed = [await shop.buy(order(customer, (product, 1))) for _ in range(10)]
    assert {each["failReason"] for each in placed} == {"INSUFFICIENT_BALANCE"}
    for order_id in hanging:
        assert (await shop.wait_until_ended(order_id, 60))["status"] in (
            "COMPLETED",
            "FAILED",
        )


async def plain_wallet(shop: Shop) -> str:
    """A wallet without money: putting some in would ask the gateway."""
    return await shop.create_wallet(0)
