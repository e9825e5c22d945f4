"""The history of payments: of an order, of a customer, and what the gateway tells."""

from uuid import uuid4

from tests.e2e.api.raw_http import Wire, assert_utc, refused
from tests.kit.client import Shop, order

PAYMENTS = "/api/v1/payments"


async def test_payment_by_card_shows_the_gateways_transaction_and_when_money_moved(
    shop: Shop,
) -> None:
    cake = await shop.create_product(price=30, stock=10)
    bought = await shop.buy(order(str(uuid4()), (cake, 1), paymentMethod="CARD"))
    [paid] = await shop.payments(bought["orderId"])
    assert paid["gatewayTransactionId"].startswith("pg-")
    assert_utc(paid["paidAt"])
    assert (paid["refundedAt"], paid["failDetail"]) == (None, None)

    assert (await shop.cancel(bought["orderId"])).status == 200

    refunded = await shop.get("payment", f"{PAYMENTS}/{paid['paymentId']}")
    assert refunded["status"] == "REFUNDED"
    assert_utc(refunded["refundedAt"])
    kept = ("gatewayTransactionId", "paidAt", "failDetail")
    assert [refunded[name] for name in kept] == [paid[name] for name in kept]


async def test_payment_from_a_wallet_has_times_and_no_transaction(shop: Shop) -> None:
    cake = await shop.create_product(price=30, stock=10)
    bought = await shop.buy(order(await shop.create_wallet(100), (cake, 1)))
    [paid] = await shop.payments(bought["orderId"])
    assert paid["gatewayTransactionId"] is None
    assert_utc(paid["paidAt"])
    await shop.cancel(bought["orderId"])
    [refunded] = await shop.payments(bought["orderId"])
    assert refunded["refundedAt"] > paid["paidAt"]


async def test_history_of_a_customer_is_paged_newest_first(shop: Shop) -> None:
    cake, customer = await shop.create_product(price=30, stock=10), await shop.create_wallet(60)
    bought = [(await shop.buy(order(customer, (cake, 1))))["orderId"] for _ in range(3)]
    newest_first = bought[::-1]

    async def page(query: str) -> tuple[list[str], int]:
        found = await shop.get("payment", f"{PAYMENTS}?{query}")
        return [each["orderId"] for each in found["items"]], found["total"]

    assert await page(f"customerId={customer}") == (newest_first, 3)
    assert await page(f"customerId={customer}&size=2&page=1") == (newest_first[2:], 3)
    assert await page(f"customerId={customer}&orderId={bought[0]}") == (bought[:1], 1)
    assert await page(f"customerId={uuid4()}&orderId={bought[0]}") == ([], 0)
    [failed] = await shop.payments(bought[2])
    assert (failed["status"], failed["failReason"]) == ("FAILED", "INSUFFICIENT_BALANCE")
    assert (failed["paidAt"], failed["refundedAt"]) == (None, None)


async def test_history_of_nobody_is_refused(wire: Wire) -> None:
    refused(await wire.shop.call("payment", "GET", PAYMENTS), 400, "VALIDATION_ERROR")
