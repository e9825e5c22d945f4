"""Products: the catalogue's answers, and changes of single fields."""

from uuid import uuid4

from tests.e2e.api.raw_http import Wire, assert_utc, nothing_stored, refused
from tests.kit.client import Shop, order

PRODUCTS = "/api/v1/products"


async def test_new_product_is_active(shop: Shop) -> None:
    body = {
        "name": "Tea",
        "price": 4500,
        "stock": 7,
        "description": "Green, 따뜻한",
        "category": "drinks",
    }
    made = await shop.call("product", "POST", PRODUCTS, body)
    assert made.status == 201
    product_id = made.body["productId"]
    assert made.body == body | {"productId": product_id, "status": "ACTIVE"}
    assert made.headers["Location"] == f"{PRODUCTS}/{product_id}"
    assert await shop.get("product", f"{PRODUCTS}/{product_id}") == made.body
    stock = await shop.get("product", f"{PRODUCTS}/{product_id}/stock")
    assert stock == {"productId": product_id, "available": 7, "reserved": 0}


async def test_optional_fields_have_defaults(shop: Shop) -> None:
    made = await shop.call("product", "POST", PRODUCTS, {"name": "Tea", "price": 1})
    assert made.status == 201
    rest = {name: made.body[name] for name in ("stock", "description", "category")}
    assert rest == {"stock": 0, "description": "", "category": ""}
    path = f"{PRODUCTS}/{made.body['productId']}/stock/history"
    assert (await shop.get("product", path))["total"] == 0


async def test_largest_values_are_accepted(shop: Shop) -> None:
    body = {"name": "x" * 200, "price": 10**9, "stock": 10**9, "description": "y" * 2000}
    made = await shop.call("product", "POST", PRODUCTS, body)
    assert made.status == 201
    assert made.body | body == made.body


async def test_change_keeps_the_other_fields(shop: Shop) -> None:
    cold, hot = [await shop.create_category(name) for name in ("cold", "hot")]
    body = {"name": "Tea", "price": 10, "stock": 7, "description": "d", "category": cold}
    made = (await shop.call("product", "POST", PRODUCTS, body)).body
    path = f"{PRODUCTS}/{made['productId']}"
    for change in (
        {"price": 11},
        {"name": "Chai"},
        {"description": ""},
        {"category": hot},
        {},
        {"name": None, "price": 12},
        {"status": "DISCONTINUED"},
        {"status": "ACTIVE", "name": "Mate"},
    ):
        answer = await shop.call("product", "PATCH", path, change)
        made |= {name: value for name, value in change.items() if value is not None}
        assert (answer.status, answer.body) == (200, made)
        assert await shop.get("product", path) == made


async def test_change_without_a_difference_publishes_no_event(wire: Wire) -> None:
    product = await wire.shop.create_product(price=10, stock=7)
    async with nothing_stored(wire.shop):
        for change in ({}, {"price": 10}, {"name": "Cake", "status": "ACTIVE"}):
            answer = await wire.send_json("product", "PATCH", f"{PRODUCTS}/{product}", change)
            assert answer.status == 200


async def test_deleted_product_is_discontinued(shop: Shop) -> None:
    product = await shop.create_product(price=10, stock=7)
    path = f"{PRODUCTS}/{product}"
    for _ in range(2):
        gone = await shop.call("product", "DELETE", path)
        assert (gone.status, gone.body) == (204, "")
    found = await shop.get("product", path)
    assert (found["status"], found["stock"]) == ("DISCONTINUED", 7)
    history = await shop.get("product", f"{path}/stock/history")
    assert history["total"] == 1


async def test_stock_is_reserved_until_the_order_ends(shop: Shop) -> None:
    """`reserved` is 0 again when the order has completed or failed."""
    rich, poor = await shop.create_wallet(1000), await shop.create_wallet(0)
    cake = await shop.create_product(price=10, stock=7)
    await shop.buy(order(rich, (cake, 2)))
    await shop.buy(order(poor, (cake, 3)))
    await shop.wait_until_idle()
    assert await shop.stock(cake) == (5, 0)
    found = await shop.get("product", f"{PRODUCTS}/{cake}")
    assert found["stock"] == 5
    history = await shop.get("product", f"{PRODUCTS}/{cake}/stock/history")
    assert [each["delta"] for each in history["items"]] == [7, -2, -3, 3]
    assert [each["balanceAfter"] for each in history["items"]] == [7, 5, 2, 5]


async def test_stock_ledger_row_has_every_field(shop: Shop) -> None:
    rich, cake = await shop.create_wallet(1000), await shop.create_product(price=10, stock=7)
    order_id = (await shop.buy(order(rich, (cake, 2))))["orderId"]
    first, newest = (await shop.get("product", f"{PRODUCTS}/{cake}/stock/history"))["items"]
    assert_utc(newest.pop("createdAt"))
    assert newest == {
        "delta": -2,
        "reason": newest["reason"],
        "orderId": order_id,
        "requestId": f"DEC-{order_id}",
        "bookedBy": None,
        "balanceAfter": 5,
    }
    assert_utc(first.pop("createdAt"))
    assert (first["delta"], first["orderId"], first["balanceAfter"]) == (7, None, 7)


async def test_unknown_product_answers_404(wire: Wire) -> None:
    path = f"{PRODUCTS}/{uuid4()}"
    for method, tail, body in (
        ("GET", "", None),
        ("PATCH", "", {"price": 3}),
        ("DELETE", "", None),
        ("GET", "/stock", None),
        ("GET", "/stock/history", None),
        ("PATCH", "/stock", {"delta": 3}),
    ):
        answer = await wire.send_json(
            "product", method, f"{path}{tail}", body, idempotency_key="not-there"
        )
        refused(answer, 404, "PRODUCT_NOT_FOUND")
