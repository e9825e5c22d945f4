"""`make demo`: a few orders on the stack that runs, each with its events as they happen.

    python -m infra.stack.demo

It talks to the services over HTTP, as a shop's front end would, and listens to the broker as the
observer. It can be run again and again. Ends with 1 when an order did not end as it should.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable

import httpx
from nats.errors import Error as NatsError
from rich.console import Console
from rich.rule import Rule

from infra.stack import broker, config, nats_cli, processes
from infra.stack.config import SERVICES, Stack, StackError
from infra.stack.playing import Ending, Played, Stage, close
from infra.stack.shopping import Shop

Scene = Callable[[Stage, Shop], Awaitable[Played]]

_PAID = ("OrderCreated", "CouponUsed", "StockDecremented", "PaymentCompleted", "OrderCompleted")
_NO_STOCK = ("OrderCreated", "CouponUsed", "StockUnavailable", "CouponRestored", "OrderFailed")
_NO_MONEY = (
    "OrderCreated",
    "CouponUsed",
    "StockDecremented",
    "PaymentFailed",
    "StockRestored",
    "CouponRestored",
    "OrderFailed",
)
_NO_COUPON = ("OrderCreated", "CouponRejected", "OrderFailed")

_QUEUED = ("OrderCreated", "CouponUsed", "StockWaitlisted")
_SERVED = ("StockDecremented", "PaymentCompleted", "OrderCompleted")

_UNWOUND = (
    "OrderCancelRequested",
    "PaymentRefunded",
    "StockRestored",
    "CouponRestored",
    "OrderCancelled",
)

_CUSTOMER = "3fa85f64-5717-4562-b3fc-2c963f66afa6"
_ADDRESS = {"street": "123 Main St", "postalCode": "12345", "city": "Seoul"}


async def completes(stage: Stage, shop: Shop) -> Played:
    """An order that completes"""
    coffee = await shop.in_stock("Coffee", 3)
    customer = _CUSTOMER
    if await shop.balance(customer) < 3 * coffee.price:  # earlier orders have used it up
        customer = await shop.customer(10 * coffee.price)
    item = {"productId": coffee.product_id, "quantity": 3, "price": coffee.price}
    body = {"customerId": customer, "items": [item], "address": _ADDRESS, "price": 3 * coffee.price}
    stage.tell(f"3 x {coffee.name} for {3 * coffee.price:,} won")
    played = await stage.play(body, Ending("COMPLETED", None, _PAID))
    left, balance = await shop.available(coffee), await shop.balance(customer)
    return played.told(
        f"paid {played.order['payableAmount']:,} won; the wallet has {balance:,} won, "
        f"{left:,} {coffee.name} are left",
        booked=(await shop.booked(coffee, played.order_id), [-3]),
    )


async def with_a_coupon(stage: Stage, shop: Shop) -> Played:
    """An order with a coupon"""
    salad = await shop.in_stock("Salad", 2)
    customer = await shop.customer(10 * salad.price)
    coupon = await shop.coupon(customer, discountType="RATE", discountValue=15)
    body = shop.order(customer, (salad, 2), coupon=coupon)
    stage.tell(f"2 x {salad.name} for {2 * salad.price:,} won, with a coupon of 15 per cent")
    played = await stage.play(body, Ending("COMPLETED", None, _PAID))
    discount = 2 * salad.price * 15 // 100
    return played.told(
        f"{played.order['discountAmount']:,} won off, paid {played.order['payableAmount']:,}; "
        f"the coupon is {await shop.coupon_status(coupon)}",
        discount=(played.order["discountAmount"], discount),
        coupon=(await shop.coupon_status(coupon), "USED"),
    )


async def short_of_stock(stage: Stage, shop: Shop) -> Played:
    """An order short of stock in one of its two lines"""
    sandwich, pizza = await shop.in_stock("Sandwich", 2), await shop.in_stock("Pizza", 1)
    available = await shop.available(pizza)
    customer = await shop.customer(10 * sandwich.price)
    coupon = await shop.coupon(customer, discountType="FIXED", discountValue=1000)
    body = shop.order(customer, (sandwich, 2), (pizza, available + 1), coupon=coupon)
    stage.tell(
        f"2 x {sandwich.name} and {available + 1:,} x {pizza.name}, of which there are "
        f"{available:,}; with a coupon"
    )
    played = await stage.play(body, Ending("FAILED", "INSUFFICIENT_STOCK", _NO_STOCK))
    left, status = await shop.available(sandwich), await shop.coupon_status(coupon)
    return played.told(
        f"no {sandwich.name} was taken, there are {left:,}; the coupon is {status} again",
        booked=(await shop.booked(sandwich, played.order_id), []),
        coupon=(status, "ISSUED"),
    )


async def not_paid(stage: Stage, shop: Shop) -> Played:
    """An order that can't be paid"""
    pasta = await shop.in_stock("Pasta", 1)
    customer = await shop.customer(1000)
    stage.tell(f"1 x {pasta.name} for {pasta.price:,} won, by a customer who has 1,000 won")
    body = shop.order(customer, (pasta, 1))
    played = await stage.play(body, Ending("FAILED", "INSUFFICIENT_BALANCE", _NO_MONEY))
    left, balance = await shop.available(pasta), await shop.balance(customer)
    return played.told(
        f"{pasta.name} is back at {left:,}; the wallet still has {balance:,} won",
        booked=(await shop.booked(pasta, played.order_id), [-1, 1]),
        balance=(balance, 1000),
    )


async def foreign_coupon(stage: Stage, shop: Shop) -> Played:
    """An order with somebody else's coupon"""
    coffee = await shop.in_stock("Coffee", 1)
    owner, customer = await shop.customer(0), await shop.customer(10 * coffee.price)
    coupon = await shop.coupon(owner, discountType="FIXED", discountValue=1000)
    stage.tell(f"1 x {coffee.name}, with a coupon that was issued to another customer")
    body = shop.order(customer, (coffee, 1), coupon=coupon)
    played = await stage.play(body, Ending("FAILED", "COUPON_NOT_OWNED", _NO_COUPON))
    status = await shop.coupon_status(coupon)
    return played.told(f"the owner's coupon is still {status}", coupon=(status, "ISSUED"))


async def cancelled(stage: Stage, shop: Shop) -> Played:
    """An order by card, and cancelled again"""
    coffee = await shop.in_stock("Coffee", 1)
    customer = await shop.customer(0)
    stage.tell(
        f"1 x {coffee.name} for {coffee.price:,} won, paid by card; then the customer cancels"
    )
    body = shop.order(customer, (coffee, 1)) | {"paymentMethod": "CARD"}
    played = await stage.play(body, Ending("COMPLETED", None, _PAID))
    played = await stage.cancel(played, Ending("CANCELLED", None, _UNWOUND))
    return played.told(
        f"the card got its {coffee.price:,} won back, and {coffee.name} is on the shelf again",
        booked=(await shop.booked(coffee, played.order_id), [-1, 1]),
    )


async def waits(stage: Stage, shop: Shop) -> Played:
    """An order that waits for stock, and a delivery that serves it"""
    cake = await shop.sold_out("Lemon cake")
    customer = await shop.customer(10 * cake.price)
    stage.tell(f"2 x {cake.name}, of which there is none; the customer is willing to wait")
    body = shop.order(customer, (cake, 2)) | {"onShortage": "WAIT"}
    played = await stage.play(body, Ending("WAITING", None, _QUEUED))
    stage.tell(f"it is number {played.order['queuePosition']} in the queue; 3 {cake.name} come in")
    played = await stage.bring_in(played, cake, 3, Ending("COMPLETED", None, _SERVED))
    left, booked = await shop.available(cake), await shop.booked(cake, played.order_id)
    return played.told(
        f"paid {played.order['payableAmount']:,} won; {left:,} {cake.name} is left",
        position=(played.order["queuePosition"], 1),
        booked=(booked, [-2]),
    )


async def followed_live(stage: Stage, shop: Shop) -> Played:
    """An order as its customer follows it, live over HTTP"""
    coffee = await shop.in_stock("Coffee", 1)
    customer = await shop.customer(10 * coffee.price)
    stage.tell(f"1 x {coffee.name}; its events as a browser's EventSource gets them")
    played = await stage.follow(shop.order(customer, (coffee, 1)), Ending("COMPLETED", None, _PAID))
    return played.told("told to its end")


SCENES: tuple[Scene, ...] = (
    completes,
    with_a_coupon,
    short_of_stock,
    not_paid,
    foreign_coupon,
    cancelled,
    waits,
    followed_live,
)


def main() -> int:
    console = Console(highlight=False)
    try:
        return asyncio.run(_play(_running(), console))
    except (StackError, httpx.HTTPError, NatsError, OSError, TimeoutError) as problem:
        emitted = str(problem) if isinstance(problem, StackError) else f"{problem!r}: make status"
        Console(stderr=True).print(emitted, style="red", markup=False, soft_wrap=True)
        return 1


def _running() -> Stack:
    stack = config.recorded(config.state_dir())
    if stack is None or not processes.answers(stack):
        raise StackError("The stack is not running. Run: make up")
    return stack


async def _play(stack: Stack, console: Console) -> int:
    wrong = 0
    last = None
    async with broker.observing(stack) as observer, httpx.AsyncClient(trust_env=False) as http:
        shop = Shop(stack, http)
        stage = Stage(observer, shop, console)
        await stage.open()
        for number, scene in enumerate(SCENES, start=1):
            console.print()
            console.print(Rule(f"[bold]{number}. {scene.__doc__}", align="left", style="dim"))
            last = await scene(stage, shop)
            wrong += not close(last, console)
    if last is not None:
        _look_next(stack, console, last.order_id)
    if wrong:
        console.print(f"\n[bold red]{wrong} of {len(SCENES)} orders did not end as they should.[/]")
    return 1 if wrong else 0


def _look_next(stack: Stack, console: Console, order_id: str) -> None:
    """What to try now, for the stack as it runs."""
    tool = "" if nats_cli.find(stack) else "  (first: make tools)"
    context = os.environ.get("NATS_CONTEXT", "saga")
    live = [("every event as it happens", f"nats --context {context} sub 'saga.>'{tool}")]
    rows = (
        ("this order's events, from the stream", f"make trace ORDER={order_id}"),
        *(live if context else ()),
        ("100 orders at once", "make load"),
        ("do money, stock, coupons and events add up?", "make audit"),
        ("what runs, and how far behind each consumer is", "make status"),
        ("what the services say", "make logs"),
        ("stop everything; until then it goes on running", "make down"),
    )
    console.print()
    console.print(Rule("[bold]Where to look next", align="left", style="dim"))
    for purpose, command in rows:
        console.print(f"  {purpose:<48}[cyan]{command}[/]", soft_wrap=True)
    for service in SERVICES:
        purpose = f"the calls of {service}, to try by hand"
        console.print(f"  {purpose:<48}[cyan]{stack.url(service)}/schema[/]", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
