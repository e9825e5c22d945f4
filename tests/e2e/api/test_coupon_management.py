"""Coupon management: definitions are listed, changed and stopped, issued coupons revoked."""

from uuid import uuid4

from tests.e2e.api.raw_http import Wire, nothing_stored, refused
from tests.e2e.api.test_coupons import COUPONS, ISSUED, define, validate
from tests.kit.client import Shop, order


async def test_definitions_are_listed_newest_first(shop: Shop) -> None:
    older, newer = await define(shop), await define(shop)
    page = await shop.get("coupon", f"{COUPONS}?page=0&size=2")
    assert page["items"] == [newer, older]
    assert (page["page"], page["size"]) == (0, 2)
    assert page["total"] >= 2


async def test_change_concerns_coupons_that_are_issued_later(shop: Shop) -> None:
    definition = await define(shop, quantity=1)
    path = f"{COUPONS}/{definition['couponId']}"
    before = await shop.send("coupon", "POST", f"{path}/issue", {"customerId": str(uuid4())})
    terms = {"name": "more", "quantity": 2, "validUntil": "2099-01-01T00:00:00Z"}
    changed = definition | terms | {"issued": 1, "remaining": 1}
    for _ in range(2):
        assert await shop.send("coupon", "PATCH", path, terms) == changed
    assert await shop.get("coupon", path) == changed
    after = await shop.send("coupon", "POST", f"{path}/issue", {"customerId": str(uuid4())})
    assert after["validUntil"] == terms["validUntil"]
    assert await shop.get("coupon", f"{ISSUED}/{before['issuedCouponId']}") == before


async def test_change_that_contradicts_is_refused(wire: Wire) -> None:
    definition = await define(wire.shop, validFrom="2030-01-01T00:00:00Z")
    path = f"{COUPONS}/{definition['couponId']}"
    for _ in range(2):
        await wire.shop.send("coupon", "POST", f"{path}/issue", {"customerId": str(uuid4())})
    async with nothing_stored(wire.shop):
        for terms in ({"quantity": 1}, {"validUntil": "2030-01-01T00:00:00Z"}):
            refused(await wire.send_json("coupon", "PATCH", path, terms), 400, "VALIDATION_ERROR")


async def test_stopped_definition_issues_no_more(wire: Wire) -> None:
    shop = wire.shop
    path = f"{COUPONS}/{(await define(shop))['couponId']}"
    customer = {"customerId": str(uuid4())}
    stopped = await shop.send("coupon", "PATCH", path, {"status": "STOPPED"})
    assert stopped["status"] == "STOPPED"
    async with nothing_stored(shop):
        answer = await wire.send_json("coupon", "POST", f"{path}/issue", customer)
    refused(answer, 409, "COUPON_STOPPED")
    await shop.send("coupon", "PATCH", path, {"status": "ACTIVE"})
    assert (await shop.call("coupon", "POST", f"{path}/issue", customer)).status == 201


async def test_revoked_coupon_fails_its_order(shop: Shop) -> None:
    customer, cake = await shop.create_wallet(1000), await shop.create_product(price=30, stock=10)
    coupon = await shop.create_coupon(customer)
    for _ in range(2):
        revoked = await shop.call("coupon", "DELETE", f"{ISSUED}/{coupon}")
        assert (revoked.status, revoked.body) == (204, "")
    assert await shop.coupon_status(coupon) == ("REVOKED", None)
    assert (await validate(shop, coupon, customer, 30))["reason"] == "COUPON_REVOKED"
    found = await shop.buy(order(customer, (cake, 1), couponId=coupon))
    assert (found["status"], found["failReason"]) == ("FAILED", "COUPON_REVOKED")
    assert await shop.balance(customer) == 1000


async def test_used_coupon_is_not_revoked(wire: Wire) -> None:
    shop = wire.shop
    customer, cake = await shop.create_wallet(1000), await shop.create_product(price=30, stock=10)
    coupon = await shop.create_coupon(customer)
    placed = await shop.buy(order(customer, (cake, 1), couponId=coupon))
    await shop.wait_until_idle()
    async with nothing_stored(shop):
        refused(
            await wire.send("coupon", "DELETE", f"{ISSUED}/{coupon}"), 409, "COUPON_ALREADY_USED"
        )
    assert await shop.coupon_status(coupon) == ("USED", placed["orderId"])
