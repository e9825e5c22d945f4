"""Carts over HTTP: filling one, its current prices, and checking out."""

from typing import Annotated
from uuid import UUID

from litestar import Controller, Response, delete, get, patch, post
from litestar.params import JSONBody, PathParameter

from chassis.processing.messages import IdempotencyKey
from chassis.service import Service
from chassis.web.access import SIGNED_IN, Caller, CurrentCaller, no_user
from chassis.web.actions import records_for_others
from chassis.web.error_codes import USER_NOT_FOUND
from chassis.web.idempotency import key_of, replay_headers
from chassis.web.response_headers import LOCATION
from chassis.web.schemas import Body, OptionalKey, TraceContext, View, answered, refusals
from events.contract import RequestAmount
from order import store
from order.commands import AddToCart, ChangeCartItem, TakeFromCart, WantedLine
from order.errors import (
    ACCOUNT_ERASED,
    ADDRESS_NOT_FOUND,
    CART_EMPTY,
    CART_FULL,
    CART_ITEM_NOT_FOUND,
    INSUFFICIENT_STOCK,
    PRICE_MISMATCH,
    PRODUCT_DISCONTINUED,
    PRODUCT_NOT_FOUND,
)
from order.load_shedding import ShedLoad
from order.pricing import PricedItem
from order.routes import OrderService
from order.routes.placing import (
    AcceptedView,
    OrderOptions,
    OrderView,
    Prefer,
    accept,
    command_of,
)
from order.unit_of_work import OrderUnitOfWork

CustomerId = Annotated[UUID, PathParameter(name="customerId")]
ProductId = Annotated[UUID, PathParameter(name="productId")]


class NewCartItem(Body):
    """`quantity`: units to add to those in the cart."""

    product_id: UUID
    quantity: RequestAmount


class CartItemChange(Body):
    """`quantity`: units that the cart then has of the product."""

    quantity: RequestAmount


class CartView(View):
    """Amounts in KRW, at current prices.

    A line with a `problem` can't be bought now: PRODUCT_DISCONTINUED, which stops a checkout and is
    left out of `totalAmount`, or SOLD_OUT, for which an order may wait. A line without one may
    still ask for more units than are available; the order fails then.
    """

    customer_id: str
    items: tuple[PricedItem, ...]
    total_amount: int


class CartController(Controller):
    path = "/carts/{customerId:str}"
    tags = ("carts",)

    @get(summary="A customer's cart", guards=[SIGNED_IN], responses=refusals(USER_NOT_FOUND))
    async def get_cart(
        self, customer_id: CustomerId, service: OrderService, caller: CurrentCaller
    ) -> CartView:
        """Empty for a customer who has put nothing into it."""
        _check(caller, customer_id)
        async with service.reading() as connection:
            return CartView.of(await store.find_priced_cart(connection, str(customer_id)))

    @post(
        "/items",
        status_code=200,
        summary="Put a product into the cart",
        guards=[SIGNED_IN],
        opt=records_for_others("CART_ADD", on="customerId"),
        responses=refusals(
            USER_NOT_FOUND, CART_FULL, PRODUCT_DISCONTINUED, PRODUCT_NOT_FOUND, 422, body=True
        ),
    )
    async def add_to_cart(
        self,
        customer_id: CustomerId,
        data: JSONBody[NewCartItem],
        service: OrderService,
        caller: CurrentCaller,
        idempotency_key: OptionalKey = None,
    ) -> Response[CartView]:
        """More of the same product adds up, to 10^9 at most; a cart holds up to 100 products.

        With an Idempotency-Key, the same request again gives the first answer and adds nothing.
        """
        _check(caller, customer_id)
        command = AddToCart(
            customer_id=str(customer_id), product_id=str(data.product_id), quantity=data.quantity
        )
        key = key_of(f"cart/{customer_id}", idempotency_key, data)
        done = await service.ask(command, key)
        return Response(CartView.of(done.result), headers=replay_headers(done))

    @patch(
        "/items/{productId:str}",
        summary="Change the quantity of a product in the cart",
        guards=[SIGNED_IN],
        opt=records_for_others("CART_CHANGE", on="customerId"),
        responses=refusals(USER_NOT_FOUND, CART_ITEM_NOT_FOUND, body=True),
    )
    async def change_cart_item(
        self,
        customer_id: CustomerId,
        product_id: ProductId,
        data: JSONBody[CartItemChange],
        service: OrderService,
        caller: CurrentCaller,
    ) -> CartView:
        """The cart then has this many units of the product, which must be in it."""
        _check(caller, customer_id)
        command = ChangeCartItem(
            customer_id=str(customer_id), product_id=str(product_id), quantity=data.quantity
        )
        return CartView.of((await service.ask(command)).result)

    @delete(
        "/items/{productId:str}",
        summary="Take a product out of the cart, if it is in it",
        guards=[SIGNED_IN],
        opt=records_for_others("CART_REMOVE", on="customerId"),
        responses=refusals(USER_NOT_FOUND),
    )
    async def remove_from_cart(
        self,
        customer_id: CustomerId,
        product_id: ProductId,
        service: OrderService,
        caller: CurrentCaller,
    ) -> None:
        """204 also for a product that is not in the cart."""
        _check(caller, customer_id)
        await service.ask(TakeFromCart(customer_id=str(customer_id), product_id=str(product_id)))

    @delete(
        summary="Empty the cart",
        guards=[SIGNED_IN],
        opt=records_for_others("CART_EMPTY", on="customerId"),
        responses=refusals(USER_NOT_FOUND),
    )
    async def empty_cart(
        self, customer_id: CustomerId, service: OrderService, caller: CurrentCaller
    ) -> None:
        """204 also for a cart that is empty."""
        _check(caller, customer_id)
        await service.ask(TakeFromCart(customer_id=str(customer_id)))

    @post(
        "/checkout",
        status_code=202,
        summary="Order what is in the cart",
        guards=[SIGNED_IN],
        opt=records_for_others("CART_CHECKOUT", on="orderId"),
        middleware=[ShedLoad],
        responses=refusals(
            ACCOUNT_ERASED,
            ADDRESS_NOT_FOUND,
            USER_NOT_FOUND,
            CART_EMPTY,
            INSUFFICIENT_STOCK,
            PRICE_MISMATCH,
            PRODUCT_DISCONTINUED,
            PRODUCT_NOT_FOUND,
            422,
            body=True,
        )
        | {
            200: answered(OrderView, "The order, when it ended within Prefer: wait=N"),
            202: answered(AcceptedView, "The order is stored; its saga continues"),
        },
        response_headers=[LOCATION],
    )
    async def check_out(
        self,
        customer_id: CustomerId,
        data: JSONBody[OrderOptions],
        service: OrderService,
        caller: CurrentCaller,
        idempotency_key: OptionalKey = None,
        prefer: Prefer = None,
        trace: TraceContext = None,
    ) -> Response[AcceptedView | OrderView]:
        """Orders all lines at current prices, and answers as `POST /orders` does.

        All or nothing: one line that can't be ordered refuses the whole. `price`, if sent, must be
        the total. The lines stay in the cart until the order is COMPLETED; then the ordered units
        leave it. A FAILED order changes nothing in the cart. Two checkouts are two orders: send an
        Idempotency-Key, and the same request gets the first answer again, whatever is in the cart
        by then.
        """
        customer = str(customer_id)
        _check(caller, customer_id)
        key = key_of(f"checkout/{customer}", idempotency_key, data)
        lines = await _find_lines(service, customer, key)
        command = command_of(service.new_id(), customer, lines, data, from_cart=True)
        return await accept(service, command, key, trace, prefer)


def _check(caller: Caller, customer_id: UUID) -> None:
    """Raises NotFound for another customer's cart, whether anything is in it or not."""
    caller.find(str(customer_id), lambda: no_user(str(customer_id)))


async def _find_lines(
    service: Service[OrderUnitOfWork], customer_id: str, key: IdempotencyKey | None
) -> list[WantedLine]:
    """The lines of the cart; none for a request that was answered before.

    Its stored answer stands, so hot-product admission must not refuse it for what is in the cart by
    now.
    """
    async with service.reading() as connection:
        if key is not None and await store.is_key_known(connection, key.scope, key.key):
            return []
        cart = await store.find_cart(connection, customer_id)
    return [
        WantedLine(product_id=item.product_id, quantity=item.quantity)
        for item in (cart.items if cart else ())
    ]


ROUTES = [CartController]
