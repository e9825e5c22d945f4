"""Coupons: definition, issuing in the order of requests, and validation without use."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.e2e.api.raw_http import Wire, assert_utc, nothing_stored, refused
from tests.kit.client import Json, Shop, order, wait_until

COUPONS, ISSUED = "/api/v1/coupons", "/api/v1/issued-coupons"
FIXED = {"name": "off", "discountType": "FIXED", "discountValue": 500, "quantity": 3}


async def define(shop: Shop, **terms: Any) -> Json:
    made = await shop.call("coupon", "POST", COUPONS, FIXED | terms)
    assert made.status == 201, made
    body: Json = made.body
    return body


async def validate(shop: Shop, issued: str, customer: str, amount: int) -> Json:
    path = f"{ISSUED}/{issued}/validate"
    body = {"customerId": customer, "orderAmount": amount}
    answer = await shop.call("coupon", "POST", path, body)
    assert answer.status == 200, answer
    found: Json = answer.body
    return found


async def test_definition_shows_every_field(shop: Shop) -> None:
    times = {"validFrom": "2020-01-01T00:00:00Z", "validUntil": "2099-12-31T23:59:59Z"}
    sent = FIXED | times | {"minOrderAmount": 1000}
    made = await shop.call("coupon", "POST", COUPONS, sent)
    assert made.status == 201
    coupon_id = made.body["couponId"]
    shown = {"couponId": coupon_id, "issued": 0, "remaining": 3, "status": "ACTIVE"}
    assert made.body == sent | shown
    assert made.headers["Location"] == f"{COUPONS}/{coupon_id}"
    assert await shop.get("coupon", f"{COUPONS}/{coupon_id}") == made.body
    least = await define(shop)
    assert (least["minOrderAmount"], least["validFrom"], least["validUntil"]) == (0, None, None)


async def test_times_of_another_zone_are_the_same_instants(shop: Shop) -> None:
    sent = {"validFrom": "2030-01-01T09:00:00+09:00", "validUntil": "2029-12-31T20:00:00-05:00"}
    utc = {"validFrom": "2030-01-01T00:00:00Z", "validUntil": "2030-01-01T01:00:00Z"}
    made = await define(shop, **sent)
    assert {name: made[name] for name in utc} == utc
    assert await shop.get("coupon", f"{COUPONS}/{made['couponId']}") == made


async def test_validity_is_an_instant_not_a_local_time(shop: Shop) -> None:
    """In half an hour, written as the local time of a distant zone."""
    customer = str(uuid4())
    soon = datetime.now(UTC) + timedelta(minutes=30)
    for hours in (-9, 9):
        offset = f"{hours:+03d}:00"
        text = f"{soon + timedelta(hours=hours):%Y-%m-%dT%H:%M:%S}{offset}"
        ending = await shop.create_coupon(customer, validUntil=text)
        beginning = await shop.create_coupon(customer, validFrom=text)
        assert (await validate(shop, ending, customer, 1000))["valid"] is True, text
        assert (await validate(shop, beginning, customer, 1000))["valid"] is False, text


@pytest.mark.parametrize(
    "terms",
    [
        {"discountType": "RATE", "discountValue": 101},
        {"validFrom": "2030-01-02T00:00:00Z", "validUntil": "2030-01-01T00:00:00Z"},
        {"validFrom": "2030-01-01T00:00:00Z", "validUntil": "2030-01-01T00:00:00Z"},
        {"validFrom": "2030-01-01T00:00:00-09:00", "validUntil": "2030-01-01T00:00:00Z"},
    ],
)
async def test_contradictory_terms_are_refused(wire: Wire, terms: Json) -> None:
    async with nothing_stored(wire.shop):
        answer = await wire.send_json("coupon", "POST", COUPONS, FIXED | terms)
    refused(answer, 400, "VALIDATION_ERROR")


async def test_issued_coupon_shows_every_field(shop: Shop) -> None:
    coupon, customer = await define(shop, minOrderAmount=700), str(uuid4())
    path = f"{COUPONS}/{coupon['couponId']}/issue"
    answer = await shop.call("coupon", "POST", path, {"customerId": customer})
    assert answer.status == 201
    issued = answer.body["issuedCouponId"]
    assert answer.headers["Location"] == f"{ISSUED}/{issued}"
    assert await shop.get("coupon", f"{ISSUED}/{issued}") == answer.body
    listed = await shop.get("coupon", f"{ISSUED}?customerId={customer}")
    assert listed == {"items": [answer.body], "page": 0, "size": 20, "total": 1}
    assert_utc(answer.body.pop("issuedAt"))
    assert answer.body == {
        "issuedCouponId": issued,
        "couponId": coupon["couponId"],
        "customerId": customer,
        "status": "ISSUED",
        "orderId": None,
        "discountType": "FIXED",
        "discountValue": 500,
        "minOrderAmount": 700,
        "validFrom": None,
        "validUntil": None,
        "usedAt": None,
    }
    counted = await shop.get("coupon", f"{COUPONS}/{coupon['couponId']}")
    assert (counted["issued"], counted["remaining"]) == (1, 2)


async def test_coupon_is_issued_once_per_customer_up_to_its_quantity(wire: Wire) -> None:
    shop = wire.shop
    path = f"{COUPONS}/{(await define(shop, quantity=2))['couponId']}/issue"
    one, two, three = [{"customerId": str(uuid4())} for _ in range(3)]
    assert (await shop.call("coupon", "POST", path, one)).status == 201
    async with nothing_stored(shop):
        again = await shop.call("coupon", "POST", path, one)
    refused(again, 409, "COUPON_ALREADY_ISSUED")
    assert (await shop.call("coupon", "POST", path, two)).status == 201
    async with nothing_stored(shop):
        late = await shop.call("coupon", "POST", path, three)
        again = await shop.call("coupon", "POST", path, one)
    refused(late, 409, "COUPON_EXHAUSTED")
    refused(again, 409, "COUPON_ALREADY_ISSUED")


async def test_validate_answers_discount_or_reason(wire: Wire) -> None:
    shop, customer = wire.shop, str(uuid4())
    fixed = await shop.create_coupon(customer, discountValue=500, minOrderAmount=400)
    rate = await shop.create_coupon(customer, discountType="RATE", discountValue=33)
    early = await shop.create_coupon(customer, validFrom="2099-01-01T00:00:00Z")

    def good(discount: int, payable: int) -> Json:
        amounts = {"discountAmount": discount, "payableAmount": payable}
        return {"valid": True, "reason": None} | amounts

    def bad(reason: str, amount: int) -> Json:
        amounts = {"discountAmount": 0, "payableAmount": amount}
        return {"valid": False, "reason": reason} | amounts

    async with nothing_stored(shop):
        assert await validate(shop, fixed, customer, 600) == good(500, 100)
        assert await validate(shop, fixed, customer, 400) == good(400, 0)
        assert await validate(shop, fixed, customer, 399) == bad("COUPON_MIN_AMOUNT", 399)
        assert await validate(shop, fixed, str(uuid4()), 600) == bad("COUPON_NOT_OWNED", 600)
        assert await validate(shop, rate, customer, 101) == good(33, 68)
        assert await validate(shop, rate, customer, 1) == good(0, 1)
        assert await validate(shop, early, customer, 600) == bad("COUPON_NOT_YET_VALID", 600)


async def test_used_coupon_names_its_order(shop: Shop) -> None:
    customer, cake = await shop.create_wallet(5000), await shop.create_product(price=1500, stock=10)
    coupon = await shop.create_coupon(customer)
    order_id = (await shop.buy(order(customer, (cake, 1), couponId=coupon)))["orderId"]
    found = await shop.get("coupon", f"{ISSUED}/{coupon}")
    assert (found["status"], found["orderId"]) == ("USED", order_id)
    assert_utc(found["usedAt"])
    tried = await validate(shop, coupon, customer, 1500)
    assert (tried["valid"], tried["reason"]) == (False, "COUPON_ALREADY_USED")


async def test_coupon_expires(shop: Shop) -> None:
    customer = str(uuid4())
    ends = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    coupon = await shop.create_coupon(customer, validUntil=ends, quantity=2)
    definition = (await shop.get("coupon", f"{ISSUED}/{coupon}"))["couponId"]

    async def expired() -> bool:
        return (await shop.coupon_status(coupon)) == ("EXPIRED", None)

    await wait_until(expired, "the coupon has expired")
    tried = await validate(shop, coupon, customer, 1500)
    assert (tried["valid"], tried["reason"]) == (False, "COUPON_EXPIRED")
    path = f"{COUPONS}/{definition}/issue"
    late = await shop.call("coupon", "POST", path, {"customerId": str(uuid4())})
    refused(late, 409, "COUPON_EXPIRED")


@pytest.mark.parametrize(
    ("terms", "owner", "reason"),
    [
        ({"minOrderAmount": 31}, True, "COUPON_MIN_AMOUNT"),
        ({"validFrom": "2099-01-01T00:00:00Z"}, True, "COUPON_NOT_YET_VALID"),
        ({}, False, "COUPON_NOT_OWNED"),
        (None, True, "COUPON_NOT_FOUND"),
    ],
)
async def test_order_with_a_refused_coupon_fails(
    shop: Shop, terms: Json | None, owner: bool, reason: str
) -> None:
    customer, cake = await shop.create_wallet(1000), await shop.create_product(price=30, stock=10)
    holder = customer if owner else str(uuid4())
    coupon = str(uuid4()) if terms is None else await shop.create_coupon(holder, **terms)
    found = await shop.buy(order(customer, (cake, 1), couponId=coupon))
    assert (found["status"], found["failReason"]) == ("FAILED", reason)
    assert await shop.balance(customer) == 1000
    assert await shop.stock(cake) == (10, 0)
    if terms is not None:
        assert await shop.coupon_status(coupon) == ("ISSUED", None)
