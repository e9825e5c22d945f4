"""Orders from POST to their end: amounts, stock, money, events and headers."""

import asyncio
import re
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest

from tests.e2e.saga.broker_stream import body_of, headers_of, messages, name_of
from tests.e2e.saga.event_chains import COMPLETED
from tests.kit.client import COFFEE, PASTA, PIZZA, RICH, Json, Shop, order

TRACEPARENT = re.compile(r"00-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-[0-9a-f]{2}")


async def test_two_example_orders_complete(shop: Shop) -> None:
    stock = {each: (await shop.stock(each))[0] for each in (COFFEE, PIZZA, PASTA)}
    balance = await shop.balance(RICH)
    address = {"street": "123 Main St", "postalCode": "12345", "city": "Seoul"}
    coffee = {"productId": COFFEE, "quantity": 3, "price": 5000}
    body = {"customerId": RICH, "price": 15000, "items": [coffee], "address": address}

    first = await shop.buy(body)

    assert first["status"] == "COMPLETED"
    assert first["totalAmount"] == first["payableAmount"] == 15_000
    assert first["address"] == address
    await shop.wait_until_idle()
    assert await shop.stock(COFFEE) == (stock[COFFEE] - 3, 0)
    assert await shop.balance(RICH) == balance - 15_000
    trace = await shop.trace(first["orderId"])
    assert [event["name"] for event in trace] == COMPLETED
    causes = [event["cause"] for event in trace]
    assert causes == [None, *(event["id"] for event in trace[:-1])]
    assert len({event["id"] for event in trace}) == len(COMPLETED)

    busan = {"street": "456 Oak St", "postalCode": "67890", "city": "Busan"}
    second = await shop.buy(order(RICH, (PIZZA, 1), (PASTA, 2), price=61_000, address=busan))

    assert second["status"] == "COMPLETED"
    assert second["totalAmount"] == 61_000
    await shop.wait_until_idle()
    assert await shop.balance(RICH) == balance - 15_000 - 61_000
    assert await shop.stock(PIZZA) == (stock[PIZZA] - 1, 0)
    assert await shop.stock(PASTA) == (stock[PASTA] - 2, 0)


async def test_order_without_an_address_completes(shop: Shop) -> None:
    product = await shop.create_product(price=700, stock=10)
    customer = await shop.create_wallet(5_000)

    ended = await shop.buy(order(customer, (product, 2)))

    assert ended["status"] == "COMPLETED"
    assert ended["address"] is None
    assert ended["couponId"] is None
    assert (ended["discountAmount"], ended["payableAmount"]) == (0, 1_400)
    assert await shop.balance(customer) == 3_600


async def test_repeated_product_becomes_one_line(shop: Shop) -> None:
    first, second = (
        await shop.create_product(price=300, stock=10),
        await shop.create_product(price=70, stock=10),
    )
    customer = await shop.create_wallet(10_000)

    ended = await shop.buy(order(customer, (first, 2), (second, 5), (first, 3), price=1_850))

    assert ended["items"] == [
        {"productId": first, "quantity": 5, "price": 300},
        {"productId": second, "quantity": 5, "price": 70},
    ]
    assert ended["status"] == "COMPLETED"
    await shop.wait_until_idle()
    assert await shop.stock(first) == await shop.stock(second) == (5, 0)
    assert [entry["delta"] for entry in await shop.stock_entries(first)] == [10, -5]
    assert await shop.balance(customer) == 10_000 - 1_850


@pytest.mark.parametrize(
    ("terms", "discount"),
    [
        ({"discountType": "FIXED", "discountValue": 300}, 300),
        ({"discountType": "FIXED", "discountValue": 300, "minOrderAmount": 999}, 300),
        ({"discountType": "RATE", "discountValue": 33}, 329),  # 329.67, rounded down
        ({"discountType": "RATE", "discountValue": 1}, 9),
    ],
)
async def test_coupon_reduces_the_paid_amount(shop: Shop, terms: Json, discount: int) -> None:
    product = await shop.create_product(price=333, stock=10)
    customer = await shop.create_wallet(2_000)
    coupon = await shop.create_coupon(customer, **terms)

    ended = await shop.buy(order(customer, (product, 3), couponId=coupon))

    assert ended["status"] == "COMPLETED"
    assert ended["couponId"] == coupon
    assert ended["totalAmount"] == 999
    assert ended["discountAmount"] == discount
    assert ended["payableAmount"] == 999 - discount
    assert await shop.balance(customer) == 2_000 - 999 + discount
    assert await shop.coupon_status(coupon) == ("USED", ended["orderId"])
    [payment] = await shop.payments(ended["orderId"])
    assert (payment["status"], payment["amount"]) == ("COMPLETED", 999 - discount)


@pytest.mark.parametrize(
    "terms",
    [
        {"discountType": "FIXED", "discountValue": 5_000},  # more than the order costs
        {"discountType": "RATE", "discountValue": 100},
    ],
)
async def test_free_order_adds_no_wallet_entry(shop: Shop, terms: Json) -> None:
    product = await shop.create_product(price=1_000, stock=10)
    customer = await shop.create_wallet(0)
    coupon = await shop.create_coupon(customer, **terms)

    ended = await shop.buy(order(customer, (product, 2), couponId=coupon))

    assert ended["status"] == "COMPLETED"
    assert (ended["discountAmount"], ended["payableAmount"]) == (2_000, 0)
    assert await shop.wallet_entries(customer) == []
    await shop.wait_until_idle()
    assert await shop.stock(product) == (8, 0)
    [payment] = await shop.payments(ended["orderId"])
    assert (payment["status"], payment["amount"]) == ("COMPLETED", 0)


async def test_stream_has_the_events_of_an_order_with_all_fields(shop: Shop) -> None:
    cake, tea = (
        await shop.create_product(price=900, stock=10),
        await shop.create_product(price=50, stock=10),
    )
    customer = await shop.create_wallet(10_000)
    coupon = await shop.create_coupon(customer, discountType="RATE", discountValue=10)
    address = {"street": "1 Nat's Rd", "postalCode": "00017", "city": "부산"}
    body = order(customer, (cake, 1), (tea, 2), couponId=coupon, address=address)

    ended = await shop.buy(body)
    await shop.wait_until_idle()

    identity = ended["orderId"]
    lines = [
        {"productId": cake, "quantity": 1, "price": 900},
        {"productId": tea, "quantity": 2, "price": 50},
    ]
    amounts = {"totalAmount": 1_000, "discountAmount": 100, "payableAmount": 900}
    whole = {"orderId": identity, "customerId": customer, "items": lines}
    options = {"couponId": coupon, "paymentMethod": "WALLET", "onShortage": "REJECT"}
    [payment] = await shop.payments(identity)
    found = await messages(shop, identity)
    assert [name_of(message) for message in found] == COMPLETED
    created, used, decremented, paid, completed = (body_of(message) for message in found)
    accepted_at = created.pop("acceptedAt")
    assert created == whole | options | {"totalAmount": 1_000, "address": None}
    assert datetime.fromisoformat(accepted_at) == datetime.fromisoformat(ended["createdAt"])
    assert used == whole | options | amounts
    assert decremented == whole | amounts | {"paymentMethod": "WALLET"}
    assert paid == {
        "orderId": identity,
        "paymentId": payment["paymentId"],
        "customerId": customer,
        "method": "WALLET",
        "amount": 900,
        "discountAmount": 100,
    }
    completed_at = completed.pop("completedAt")
    assert completed == whole | amounts
    assert datetime.fromisoformat(completed_at) == datetime.fromisoformat(ended["updatedAt"])


@pytest.mark.parametrize("sent", [True, False], ids=["traceparent-sent", "no-traceparent"])
async def test_events_have_cloudevents_headers_with_cause_and_trace(shop: Shop, sent: bool) -> None:
    product = await shop.create_product(price=100, stock=10)
    customer = await shop.create_wallet(1_000)
    trace_id, span_id = uuid4().hex, uuid4().hex[:16]
    headers = {"traceparent": f"00-{trace_id}-{span_id}-01"} if sent else {}

    order_id = await shop.place(order(customer, (product, 1)), **headers)
    await shop.wait_for_events(order_id, "OrderCompleted")

    found = await messages(shop, order_id)
    events = [headers_of(message) for message in found]
    assert [event["ce-type"] for event in events] == COMPLETED
    assert [event["ce-source"] for event in events] == [
        "order",
        "coupon",
        "product",
        "payment",
        "order",
    ]
    ids = [event["ce-id"] for event in events]
    assert len({str(UUID(identity)) for identity in ids}) == len(COMPLETED)
    assert [event["Nats-Msg-Id"] for event in events] == ids
    assert [event.get("ce-causationid") for event in events] == [None, *ids[:-1]]
    assert {event["ce-subject"] for event in events} == {order_id}
    assert {event["ce-specversion"] for event in events} == {"1.0"}
    times = [datetime.fromisoformat(event["ce-time"]) for event in events]
    assert all(time.utcoffset() == timedelta(0) for time in times)
    assert times == sorted(times)
    traces = [TRACEPARENT.fullmatch(event["traceparent"]) for event in events]
    spans = [trace["span"] for trace in traces if trace]
    assert len(set(spans)) == len(COMPLETED)
    assert span_id not in spans
    [one_trace] = {trace["trace"] for trace in traces if trace}
    assert (one_trace == trace_id) is sent


async def test_invalid_traceparent_is_ignored(shop: Shop) -> None:
    product = await shop.create_product(price=100, stock=10)
    customer = await shop.create_wallet(1_000)
    broken = f"00-{'0' * 32}-{uuid4().hex[:16]}-01"  # zeroes are no valid trace id

    order_id = await shop.place(order(customer, (product, 1)), traceparent=broken)
    await shop.wait_for_events(order_id, "OrderCompleted")

    traces = {
        headers_of(message)["traceparent"][3:35] for message in await messages(shop, order_id)
    }
    assert len(traces) == 1
    assert traces != {"0" * 32}


async def test_order_keeps_the_price_at_which_it_was_accepted(breakable_shop: Shop) -> None:
    """The price changes while the order waits for a stopped service."""
    shop = breakable_shop
    product = await shop.create_product(price=1_000, stock=10)
    customer = await shop.create_wallet(5_000)
    await asyncio.to_thread(shop.command, "stop", "coupon")
    order_id = await shop.place(order(customer, (product, 2)))
    changed = await shop.call("product", "PATCH", f"/api/v1/products/{product}", {"price": 2_000})
    assert changed.status == 200, changed
    await asyncio.to_thread(shop.command, "start", "coupon")

    ended = await shop.wait_until_ended(order_id)

    assert ended["status"] == "COMPLETED"
    assert ended["payableAmount"] == 2_000
    assert ended["items"] == [{"productId": product, "quantity": 2, "price": 1_000}]
    assert await shop.balance(customer) == 3_000
