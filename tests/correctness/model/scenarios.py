"""The situations that are searched, and the world at their beginning."""

from uuid import UUID

import msgspec

from coupon.domain import DiscountType, IssuedCoupon
from events.contract import Line, OnShortage, OrderCreated, PaymentMethod, ProductStatus
from order.domain import Order, OrderState
from payment.domain import Wallet
from product.domain import Product
from saga.event import Event
from tests.correctness.model.locals import NOW, Local, table

ORDERS = (str(UUID(int=1)), str(UUID(int=2)))
CUSTOMER, PRODUCT, COUPON = (str(UUID(int=n)) for n in (11, 12, 13))
PRICE, DISCOUNT = 10, 3


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """What there is, and what may go wrong how often.

    `arrivals`: so many units may be brought in, one at a time.
    `asks`: who waits may ask again at any time; otherwise only after something was lost.
    `republishes`: after a loss a service may publish again all that it has said.
    """

    name: str
    orders: int = 1
    method: PaymentMethod = PaymentMethod.WALLET
    on_shortage: OnShortage = OnShortage.REJECT
    with_coupon: bool = False
    balance: int = 100
    stock: int = 1
    with_inbox: bool = True
    losses: int = 0
    duplicates: int = 1
    cancels: int = 1
    arrivals: int = 0
    refusals: int = 0
    may_expire: bool = True
    asks: bool = True
    republishes: bool = False

    @property
    def placed(self) -> tuple[str, ...]:
        return ORDERS[: self.orders]

    @property
    def coupon_id(self) -> str | None:
        return COUPON if self.with_coupon else None

    def beginning(self) -> dict[str, Local]:
        """The orders are placed; nobody has heard of them."""
        inbox: frozenset[str] | None = frozenset() if self.with_inbox else None
        orders = {order_id: self._order(order_id) for order_id in self.placed}
        created: tuple[Event, ...] = tuple(self._created(order) for order in orders.values())
        opening = ((CUSTOMER, None, self.balance),)
        stocked = ((PRODUCT, None, self.stock),)
        issued = {COUPON: _issued()} if self.with_coupon else {}
        return {
            "order": Local((table(orders),), (), inbox, created),
            "coupon": Local(((), table(issued)), (), inbox, ()),
            "product": Local(((), table({PRODUCT: self._product()}), ()), stocked, inbox, ()),
            "payment": Local((table({CUSTOMER: self._wallet()}), ()), opening, inbox, ()),
        }

    def _order(self, order_id: str) -> Order:
        return Order(
            order_id=order_id,
            customer_id=CUSTOMER,
            state=OrderState.PENDING,
            fail_reason=None,
            items=(Line(product_id=PRODUCT, quantity=1, price=PRICE),),
            total_amount=PRICE,
            discount_amount=0,
            payable_amount=PRICE,
            coupon_id=self.coupon_id,
            payment_method=self.method,
            address=None,
            attempt=0,
            created_at=NOW,
            completed_at=None,
            updated_at=NOW,
        )

    def _created(self, order: Order) -> OrderCreated:
        return OrderCreated(
            order_id=order.order_id,
            customer_id=order.customer_id,
            items=order.items,
            total_amount=order.total_amount,
            coupon_id=order.coupon_id,
            payment_method=order.payment_method,
            on_shortage=self.on_shortage,
        )

    def _product(self) -> Product:
        return Product(
            product_id=PRODUCT,
            version=1,
            name="the last one",
            price=PRICE,
            description="",
            category="",
            status=ProductStatus.ACTIVE,
            available=self.stock,
            reserved=0,
            created_at=NOW,
            updated_at=NOW,
        )

    def _wallet(self) -> Wallet:
        return Wallet(customer_id=CUSTOMER, balance=self.balance, created_at=NOW, updated_at=NOW)


def _issued() -> IssuedCoupon:
    return IssuedCoupon(
        issued_coupon_id=COUPON,
        coupon_id=COUPON,
        customer_id=CUSTOMER,
        discount_type=DiscountType.FIXED,
        discount_value=DISCOUNT,
        min_order_amount=0,
        valid_from=None,
        valid_until=None,
        order_id=None,
        issued_at=NOW,
        used_at=None,
    )


CARD = PaymentMethod.CARD
WAIT = OnShortage.WAIT

SMALL = (
    Scenario(name="one order", with_coupon=True, duplicates=0),
    Scenario(name="said twice", with_coupon=True, cancels=2, asks=False),
    Scenario(name="a poor wallet", with_coupon=True, balance=1, duplicates=0),
    Scenario(name="no stock", with_coupon=True, stock=0),
    Scenario(name="a loss", with_coupon=True, losses=1, duplicates=0, cancels=0, asks=False),
    Scenario(name="without inbox", with_coupon=True, with_inbox=False, cancels=2, asks=False),
    Scenario(
        name="two orders, one coupon, one unit",
        orders=2,
        with_coupon=True,
        duplicates=0,
        cancels=0,
        asks=False,
    ),
    Scenario(
        name="waiting for stock",
        with_coupon=True,
        stock=0,
        on_shortage=WAIT,
        arrivals=1,
        asks=False,
    ),
    Scenario(
        name="two wait for one unit",
        orders=2,
        stock=0,
        on_shortage=WAIT,
        arrivals=1,
        duplicates=0,
        cancels=0,
        may_expire=False,
        asks=False,
    ),
    Scenario(name="a card", method=CARD, refusals=1, cancels=2, asks=False),
    Scenario(
        name="a card, asked for",
        method=CARD,
        duplicates=0,
        refusals=1,
        may_expire=False,
    ),
    Scenario(
        name="a card without inbox",
        method=CARD,
        with_inbox=False,
        refusals=1,
        cancels=2,
        asks=False,
    ),
)
"""A minute's worth, for every change."""

FULL = (
    *SMALL,
    Scenario(name="one order, said twice, asked for", with_coupon=True),
    Scenario(name="a poor wallet, said twice", with_coupon=True, balance=1),
    Scenario(
        name="without inbox, said three times",
        with_coupon=True,
        with_inbox=False,
        duplicates=2,
        cancels=2,
        asks=False,
    ),
    Scenario(
        name="a loss, without inbox",
        with_coupon=True,
        with_inbox=False,
        losses=1,
        duplicates=0,
        asks=False,
    ),
    Scenario(name="two losses", with_coupon=True, losses=2, duplicates=0, asks=False),
    Scenario(
        name="a loss, noticed",
        with_coupon=True,
        losses=1,
        duplicates=0,
        asks=False,
        republishes=True,
    ),
    Scenario(name="a card and a loss", method=CARD, losses=1, duplicates=0, asks=False),
    Scenario(
        name="two orders, said twice, cancelled",
        orders=2,
        with_coupon=True,
        asks=False,
    ),
    Scenario(
        name="waiting for stock, and a loss",
        with_coupon=True,
        stock=0,
        on_shortage=WAIT,
        arrivals=1,
        losses=1,
        duplicates=0,
        asks=False,
    ),
    Scenario(
        name="waiting for stock without inbox",
        with_coupon=True,
        stock=0,
        on_shortage=WAIT,
        arrivals=1,
        with_inbox=False,
        asks=False,
    ),
    Scenario(
        name="two wait for what the first gives back",
        orders=2,
        stock=1,
        on_shortage=WAIT,
        duplicates=0,
        cancels=1,
        may_expire=False,
        asks=False,
    ),
    Scenario(
        name="two orders and a loss",
        orders=2,
        with_coupon=True,
        losses=1,
        duplicates=0,
        cancels=0,
        may_expire=False,
        asks=False,
    ),
)
"""Every kind of trouble, and pairs of them."""
