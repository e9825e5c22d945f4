"""Carts over HTTP: what a customer means to order, at the prices of the moment, and ordering it."""

from typing import Annotated
from uuid import UUID

from litestar import Controller, Response, delete, get, patch, post
from litestar.params import PathParameter

from chassis.processing.messages import IdempotencyKey
from chassis.service import Service
from chassis.web.app import idempotency
from chassis.web.schemas import Body, OptionalKey, TraceContext, View, answered, refusals
from events.contract import RequestAmount
from order import store
from order.cart import AddToCart, ChangeCartItem, PricedItem, TakeFromCart
from order.domain import Orders, WantedLine
from order.load_shedding import ShedLoad
from order.routes.placing import (
    AcceptedView,
    OrderOptions,
    OrderView,
    Prefer,
    accept,
    command_of,
)

CustomerId = Annotated[UUID, PathParameter(name="customerId")]
ProductId = Annotated[UUID, PathParameter(name="productId")]


class NewCartItem(Body):
    """`quantity` in units, besides those that are in the cart."""

    product_id: UUID
    quantity: RequestAmount


class CartItemChange(Body):
    """`quantity` in units, instead of those that are in the cart."""

    quantity: RequestAmount


class CartView(View):
    """Amounts in won, at the prices of the moment.

    A line with a `problem` can't be bought now: PRODUCT_DISCONTINUED, which stops a checkout and is
    left out of `totalAmount`, or SOLD_OUT, for which an order may wait. Whether there is enough for
    all is not known here: the order will tell.
    """

    customer_id: str
    items: tuple[PricedItem, ...]
    total_amount: int


class CartController(Controller):
    path = "/carts/{customerId:str}"
    tags = ("carts",)

    @get(summary="A customer's cart", responses=refusals())
    async def read(self, customer_id: CustomerId, service: Service[Orders]) -> CartView:
        """Somebody who has put nothing into it has an empty one."""
        async with service.reading() as connection:
            return CartView.of(await store.show_cart(connection, str(customer_id)))

    @post(
        "/items",
        status_code=200,
        summary="Put a product into the cart",
        responses=refusals(404, 422, body=True),
    )
    async def add(
        self,
        customer_id: CustomerId,
        data: NewCartItem,
        service: Service[Orders],
        idempotency_key: OptionalKey = None,
    ) -> Response[CartView]:
        """More of the same product adds up, to 10^9 at most; a cart holds up to 100 products.

        With an Idempotency-Key, the same request again gives the first answer and adds nothing.
        """
        command = AddToCart(
            customer_id=str(customer_id), product_id=str(data.product_id), quantity=data.quantity
        )
        key = idempotency(f"cart/{customer_id}", idempotency_key, data)
        done = await service.ask(command, key)
        headers = {"Idempotency-Replayed": "true"} if done.replayed else {}
        return Response(CartView.of(done.result), headers=headers)

    @patch(
        "/items/{productId:str}",
        summary="Change the quantity of a product in the cart",
        responses=refusals(404, body=True),
    )
    async def change(
        self,
        customer_id: CustomerId,
        product_id: ProductId,
        data: CartItemChange,
        service: Service[Orders],
    ) -> CartView:
        command = ChangeCartItem(
            customer_id=str(customer_id), product_id=str(product_id), quantity=data.quantity
        )
        return CartView.of((await service.ask(command)).result)

    @delete(
        "/items/{productId:str}",
        summary="Take a product out of the cart, if it is in it",
        responses=refusals(),
    )
    async def remove(
        self, customer_id: CustomerId, product_id: ProductId, service: Service[Orders]
    ) -> None:
        await service.ask(TakeFromCart(customer_id=str(customer_id), product_id=str(product_id)))

    @delete(summary="Empty the cart", responses=refusals())
    async def empty(self, customer_id: CustomerId, service: Service[Orders]) -> None:
        await service.ask(TakeFromCart(customer_id=str(customer_id)))

    @post(
        "/checkout",
        status_code=202,
        summary="Order what is in the cart",
        middleware=[ShedLoad],
        responses=refusals(404, 422, body=True)
        | {200: answered(OrderView, "What became of it, where Prefer: wait=N was long enough")},
    )
    async def check_out(
        self,
        customer_id: CustomerId,
        data: OrderOptions,
        service: Service[Orders],
        idempotency_key: OptionalKey = None,
        prefer: Prefer = None,
        trace: TraceContext = None,
    ) -> Response[AcceptedView | OrderView]:
        """An order of all lines, at the prices of the moment, answered as `POST /orders` is.

        All or nothing: with a line that can't be ordered it is refused. `price`, where it is sent,
        must be the sum. The lines stay in the cart until the order has COMPLETED, and then as many
        units leave it as were ordered; a FAILED order leaves it as it is. Two checkouts are two
        orders: send an Idempotency-Key, under which the same request again gives the first answer,
        whatever is in the cart by then.
        """
        customer = str(customer_id)
        key = idempotency(f"checkout/{customer}", idempotency_key, data)
        lines = await _lines(service, customer, key)
        command = command_of(service.new_id(), customer, lines, data, from_cart=True)
        return await accept(service, command, key, trace, prefer)


async def _lines(
    service: Service[Orders], customer_id: str, key: IdempotencyKey | None
) -> list[WantedLine]:
    """What is in the cart. None for a request that was answered before: its answer stands, so it
    must not be held up at the gate for what is in the cart by now."""
    async with service.reading() as connection:
        if key is not None and await store.is_known(connection, key.scope, key.key):
            return []
        cart = await store.find_cart(connection, customer_id)
    return [
        WantedLine(product_id=item.product_id, quantity=item.quantity)
        for item in (cart.items if cart else ())
    ]


ROUTES = [CartController]
