"""Wallets and payments: amounts, the ledger, and failed payments."""

from uuid import uuid4

from tests.e2e.api.raw_http import Wire, assert_utc, nothing_stored, refused
from tests.kit.client import Shop, order

WALLETS, PAYMENTS = "/api/v1/wallets", "/api/v1/payments"


async def test_second_wallet_of_a_customer_is_refused(wire: Wire) -> None:
    shop, customer = wire.shop, str(uuid4())
    first = await shop.call("payment", "POST", WALLETS, {"customerId": customer})
    assert (first.status, first.body) == (201, {"customerId": customer, "balance": 0})
    assert first.headers["Location"] == f"{WALLETS}/{customer}"
    await shop.call("payment", "POST", f"{WALLETS}/{customer}/charge", {"amount": 5})
    async with nothing_stored(shop):
        again = await shop.call("payment", "POST", WALLETS, {"customerId": customer.upper()})
    assert (again.status, again.body) == (200, {"customerId": customer, "balance": 5})
    assert await shop.get("payment", f"{WALLETS}/{customer}") == again.body


async def test_charge_adds_to_the_balance(wire: Wire) -> None:
    shop, customer = wire.shop, str(uuid4())
    path = f"{WALLETS}/{customer}/charge"
    async with nothing_stored(shop):
        early = await shop.call("payment", "POST", path, {"amount": 5})
    refused(early, 404, "WALLET_NOT_FOUND")
    await shop.call("payment", "POST", WALLETS, {"customerId": customer})
    charged = await shop.call("payment", "POST", path, {"amount": 10**9})
    assert (charged.status, charged.body) == (200, {"customerId": customer, "balance": 10**9})
    assert "Idempotency-Replayed" not in charged.headers


async def test_wallet_ledger_lists_entries_newest_first(shop: Shop) -> None:
    customer, cake = await shop.create_wallet(100), await shop.create_product(price=30, stock=10)
    order_id = (await shop.buy(order(customer, (cake, 2))))["orderId"]
    ledger = await shop.get("payment", f"{WALLETS}/{customer}/transactions")
    assert set(ledger) == {"items", "page", "size", "total"}
    paid, charged = ledger["items"]
    for row in (paid, charged):
        assert_utc(row.pop("createdAt"))
    assert paid == {"kind": "PAYMENT", "delta": -60, "balanceAfter": 40, "orderId": order_id}
    assert charged == {"kind": "CHARGE", "delta": 100, "balanceAfter": 100, "orderId": None}


async def test_payment_of_an_order(shop: Shop) -> None:
    customer, cake = await shop.create_wallet(100), await shop.create_product(price=30, stock=10)
    order_id = (await shop.buy(order(customer, (cake, 2))))["orderId"]
    listed = await shop.get("payment", f"{PAYMENTS}?orderId={order_id}")
    (payment,) = listed["items"]
    assert await shop.get("payment", f"{PAYMENTS}/{payment['paymentId']}") == payment
    for name in ("createdAt", "updatedAt", "paidAt"):
        assert_utc(payment.pop(name))
    assert payment == {
        "paymentId": payment["paymentId"],
        "orderId": order_id,
        "customerId": customer,
        "method": "WALLET",
        "amount": 60,
        "status": "COMPLETED",
        "failReason": None,
        "failDetail": None,
        "gatewayTransactionId": None,
        "refundedAt": None,
    }


async def test_failed_payment_is_kept(shop: Shop) -> None:
    customer, cake = await shop.create_wallet(59), await shop.create_product(price=30, stock=10)
    unknown = str(uuid4())
    for who, reason in ((customer, "INSUFFICIENT_BALANCE"), (unknown, "WALLET_NOT_FOUND")):
        found = await shop.buy(order(who, (cake, 2)))
        assert (found["status"], found["failReason"]) == ("FAILED", reason)
        (payment,) = await shop.payments(found["orderId"])
        assert (payment["status"], payment["failReason"]) == ("FAILED", reason)
        assert (payment["amount"], payment["customerId"]) == (60, who)
    ledger = await shop.get("payment", f"{WALLETS}/{customer}/transactions")
    assert [row["delta"] for row in ledger["items"]] == [59]


async def test_order_that_fails_before_payment_has_no_payment(shop: Shop) -> None:
    customer, cake = await shop.create_wallet(1000), await shop.create_product(price=30, stock=1)
    found = await shop.buy(order(customer, (cake, 2)))
    assert found["failReason"] == "INSUFFICIENT_STOCK"
    assert await shop.payments(found["orderId"]) == []
    assert await shop.payments(str(uuid4())) == []
