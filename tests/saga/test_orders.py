"""Whole orders, from HTTP to their end, on real servers."""

from tests.shop import COFFEE, PASTA, PIZZA, RICH, Shop, order

CHAIN = ["OrderCreated", "CouponUsed", "StockDecremented", "PaymentCompleted", "OrderCompleted"]


async def test_the_two_literal_orders(fresh_shop: Shop) -> None:
    shop = fresh_shop
    address = {"street": "123 Main St", "postalCode": "12345", "city": "Seoul"}
    coffee = {"productId": COFFEE, "quantity": 3, "price": 5000}
    body = {"customerId": RICH, "price": 15000, "items": [coffee], "address": address}

    first = await shop.buy(body)

    assert first["status"] == "COMPLETED"
    assert first["totalAmount"] == first["payableAmount"] == 15_000
    assert first["address"] == address
    assert await shop.stock(COFFEE) == (997, 0)
    assert await shop.balance(RICH) == 985_000
    await shop.quiet()
    trace = await shop.trace(first["orderId"])
    assert [event["name"] for event in trace] == CHAIN
    causes = [event["cause"] for event in trace]
    assert causes == [None, *(event["id"] for event in trace[:-1])]
    assert len({event["id"] for event in trace}) == len(CHAIN)

    busan = {"street": "456 Oak St", "postalCode": "67890", "city": "Busan"}
    second = await shop.buy(order(RICH, (PIZZA, 1), (PASTA, 2), price=61_000, address=busan))

    assert second["status"] == "COMPLETED"
    assert second["totalAmount"] == 61_000
    assert await shop.balance(RICH) == 985_000 - 61_000
    assert await shop.stock(PIZZA) == (199, 0)
    assert await shop.stock(PASTA) == (248, 0)
