"""The orders of the demo. A scene's docstring is its title; True means that all is as expected.

Each can be played again and again: products that are sold out and empty wallets are replaced.
"""

from uuid import uuid4

from bench.demo.stage import Expected, Stage
from tests.kit.client import RICH, Json, Shop, order, wait_until

_PLACED = "OrderCreated CouponUsed"
_COMPLETED = "StockDecremented PaymentCompleted OrderCompleted"
PAID = Expected("COMPLETED", f"{_PLACED} {_COMPLETED}")
NO_STOCK = Expected(
    "FAILED", f"{_PLACED} StockUnavailable CouponRestored OrderFailed", "INSUFFICIENT_STOCK"
)
NO_MONEY = Expected(
    "FAILED",
    f"{_PLACED} StockDecremented PaymentFailed StockRestored CouponRestored OrderFailed",
    "INSUFFICIENT_BALANCE",
)
NO_COUPON = Expected("FAILED", "OrderCreated CouponRejected OrderFailed", "COUPON_NOT_OWNED")
CANCELLED = Expected(
    "CANCELLED",
    "OrderCancelRequested PaymentRefunded StockRestored CouponRestored OrderCancelled",
)
WAITING = Expected("WAITING", f"{_PLACED} StockWaitlisted")
SERVED = Expected("COMPLETED", _COMPLETED)
_ADDRESS = {"street": "123 Main St", "postalCode": "12345", "city": "Seoul"}


async def completed(stage: Stage, shop: Shop) -> bool:
    """An order that completes"""
    coffee, price = await _in_stock(shop, "Coffee", 3)
    customer = RICH
    if await shop.balance(customer) < 3 * price:
        customer = await shop.create_wallet(10 * price)
    item = {"productId": coffee, "quantity": 3, "price": price}
    body = {"customerId": customer, "items": [item], "address": _ADDRESS, "price": 3 * price}
    stage.print(f"3 x Coffee for {3 * price:,} KRW")
    placed = await stage.place(body, PAID)
    stage.check("stock", await _stock_changes(shop, coffee, placed), [-3])
    return stage.conclude(
        placed,
        f"paid {placed['payableAmount']:,} KRW; the wallet has {await shop.balance(customer):,} "
        f"KRW, {(await shop.stock(coffee))[0]:,} Coffee are left",
    )


async def with_coupon(stage: Stage, shop: Shop) -> bool:
    """An order with a coupon"""
    salad, price = await _in_stock(shop, "Salad", 2)
    customer = await shop.create_wallet(10 * price)
    coupon = await shop.create_coupon(customer, discountType="RATE", discountValue=15)
    stage.print(f"2 x Salad for {2 * price:,} KRW, with a coupon of 15%")
    placed = await stage.place(order(customer, (salad, 2), couponId=coupon), PAID)
    status, _ = await shop.coupon_status(coupon)
    stage.check("discount", placed["discountAmount"], 2 * price * 15 // 100)
    stage.check("coupon", status, "USED")
    amounts = f"{placed['discountAmount']:,} KRW off, paid {placed['payableAmount']:,}"
    return stage.conclude(placed, f"{amounts}; the coupon is {status}")


async def out_of_stock(stage: Stage, shop: Shop) -> bool:
    """An order short of stock in one of its two lines"""
    sandwich, price = await _in_stock(shop, "Sandwich", 2)
    pizza, _ = await _in_stock(shop, "Pizza", 1)
    available, _ = await shop.stock(pizza)
    customer = await shop.create_wallet(10 * price)
    coupon = await shop.create_coupon(customer)
    stage.print(
        f"2 x Sandwich and {available + 1:,} x Pizza, with a coupon; "
        f"{available:,} Pizza are available"
    )
    body = order(customer, (sandwich, 2), (pizza, available + 1), couponId=coupon)
    placed = await stage.place(body, NO_STOCK)
    status, _ = await shop.coupon_status(coupon)
    stage.check("stock", await _stock_changes(shop, sandwich, placed), [])
    stage.check("coupon", status, "ISSUED")
    left, _ = await shop.stock(sandwich)
    return stage.conclude(
        placed, f"no Sandwich was reserved, {left:,} are available; the coupon is {status} again"
    )


async def not_paid(stage: Stage, shop: Shop) -> bool:
    """An order that can't be paid"""
    pasta, price = await _in_stock(shop, "Pasta", 1)
    customer = await shop.create_wallet(1000)
    stage.print(f"1 x Pasta for {price:,} KRW, by a customer who has 1,000 KRW")
    placed = await stage.place(order(customer, (pasta, 1)), NO_MONEY)
    balance = await shop.balance(customer)
    stage.check("stock", await _stock_changes(shop, pasta, placed), [-1, 1])
    stage.check("balance", balance, 1000)
    left, _ = await shop.stock(pasta)
    return stage.conclude(
        placed, f"Pasta is back at {left:,}; the wallet still has {balance:,} KRW"
    )


async def coupon_of_another(stage: Stage, shop: Shop) -> bool:
    """An order with another customer's coupon"""
    coffee, price = await _in_stock(shop, "Coffee", 1)
    coupon = await shop.create_coupon(await shop.create_wallet(0))
    customer = await shop.create_wallet(10 * price)
    stage.print("1 x Coffee, with a coupon that was issued to another customer")
    placed = await stage.place(order(customer, (coffee, 1), couponId=coupon), NO_COUPON)
    status, _ = await shop.coupon_status(coupon)
    stage.check("coupon", status, "ISSUED")
    return stage.conclude(placed, f"the owner's coupon is still {status}")


async def cancelled(stage: Stage, shop: Shop) -> bool:
    """An order by card, and cancelled again"""
    coffee, price = await _in_stock(shop, "Coffee", 1)
    customer = await shop.create_wallet(0)
    stage.print(f"1 x Coffee for {price:,} KRW, paid by card; then the customer cancels")
    placed = await stage.place(order(customer, (coffee, 1), paymentMethod="CARD"), PAID)
    placed = await stage.go_on(shop.cancel(placed["orderId"]), CANCELLED)
    stage.check("stock", await _stock_changes(shop, coffee, placed), [-1, 1])
    return stage.conclude(placed, f"{price:,} KRW were refunded, and the Coffee was restored")


async def waiting(stage: Stage, shop: Shop) -> bool:
    """An order that waits for stock, and a delivery that serves it"""
    cake, price = await shop.create_product(5000, 0, "Lemon cake"), 5000
    customer = await shop.create_wallet(10 * price)
    stage.print("2 x Lemon cake, which is sold out; the customer is willing to wait")
    body = order(customer, (cake, 2), onShortage="WAIT")
    placed = await stage.place(body, WAITING)
    position = placed["queuePosition"]
    stage.print(f"it has position {position} in the queue; 3 Lemon cake are delivered")
    placed = await stage.go_on(shop.add_stock(cake, 3), SERVED)
    stage.check("position", position, 1)
    stage.check("stock", await _stock_changes(shop, cake, placed), [-2])
    left, _ = await shop.stock(cake)
    line = f"paid {placed['payableAmount']:,} KRW; {left:,} Lemon cake is left"
    return stage.conclude(placed, line)


async def followed_live(stage: Stage, shop: Shop) -> bool:
    """An order as its customer follows it, live over HTTP"""
    coffee, price = await _in_stock(shop, "Coffee", 1)
    customer = await shop.create_wallet(10 * price)
    stage.print("1 x Coffee; its events as a browser's EventSource receives them")
    placed = await stage.follow_live(order(customer, (coffee, 1)), PAID)
    return stage.conclude(placed, "all events were received, up to the end")


async def signed_up(stage: Stage, shop: Shop) -> bool:
    """A customer who signs up, orders and follows the order; another one gets 404"""
    coffee, price = await _in_stock(shop, "Coffee", 1)
    customer, me = await _sign_up(shop, "Kim")
    _, other = await _sign_up(shop, "Lee")
    stage.print(f"Kim signs up and in, charges {price:,} KRW, and orders 1 x Coffee")
    await me.send("payment", "POST", f"/api/v1/wallets/{customer}/charge", {"amount": price})
    placed = await stage.follow_live(order(customer, (coffee, 1), address=_ADDRESS), PAID, me)
    seen = await other.call("order", "GET", f"/api/v1/orders/{placed['orderId']}")
    stage.check("Lee's answer", (seen.status, seen.body["error"]), (404, "ORDER_NOT_FOUND"))
    stage.check("balance", await me.balance(customer), 0)
    return stage.conclude(placed, f"Lee gets {seen.status} {seen.body['error']} for Kim's order")


SIGNED_IN = (signed_up,)
"""What is played too where requests are signed in."""

SCENES = (
    *(completed, with_coupon, out_of_stock, not_paid, coupon_of_another, cancelled),
    *(waiting, followed_live),
)


async def _sign_up(shop: Shop, name: str) -> tuple[str, Shop]:
    """A new customer, whose wallet is open: the id, and a client that is signed in."""
    account = {"email": f"{uuid4()}@shop.test", "password": f"{name} has {uuid4()}"}
    made = await shop.send("user", "POST", "/api/v1/users", account | {"name": name})
    customer: str = made["userId"]
    client = Shop(shop.environment, shop.http)
    await client.sign_in(account["email"], account["password"])

    async def has_wallet() -> bool:
        answer = await client.call("payment", "GET", f"/api/v1/wallets/{customer}")
        return answer.status == 200

    await wait_until(has_wallet, "the new customer's wallet is open")
    return customer, client


async def _in_stock(shop: Shop, name: str, quantity: int) -> tuple[str, int]:
    """Id and price of a product of this name that has enough stock; a new one where none has."""
    found = await shop.get("product", f"/api/v1/products?query={name}&size=100")
    for each in found["items"]:
        product: str = each["productId"]
        if each["name"] == name and (await shop.stock(product))[0] >= quantity:
            return product, each["price"]
    return await shop.create_product(5000, 100, name), 5000


async def _stock_changes(shop: Shop, product: str, placed: Json) -> list[int]:
    """What the order changed in the product's stock ledger, oldest first."""
    path = f"/api/v1/products/{product}/stock/history?from={placed['createdAt']}&size=100"
    rows = (await shop.get("product", path))["items"]
    return [row["delta"] for row in rows if row["orderId"] == placed["orderId"]]
