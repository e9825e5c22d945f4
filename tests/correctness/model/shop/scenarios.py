"""The scenarios of the shop, and what there is at their beginning."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from uuid import UUID

from coupon.domain import DiscountType, IssuedCoupon
from events.contract import Line, OnShortage, OrderCreated, PaymentMethod, ProductStatus
from order.commands import CancelOrder, ExpireOrder
from order.domain import EXPIRES, Order, OrderState
from payment.commands import ResumePayment
from payment.domain import Wallet
from product.commands import BookStock, EndWait
from product.domain import HoldState, Product
from saga.event import Event
from tests.correctness.model.description import NOW, Local, Locals, Move, Scenario, short, table
from tests.correctness.model.shop.gateway import Gateway
from tests.correctness.model.shop.rows import SERVICES

ORDERS = (str(UUID(int=1)), str(UUID(int=2)))
CUSTOMER, PRODUCT, COUPON = (str(UUID(int=n)) for n in (11, 12, 13))
PRICE, DISCOUNT = 10, 3


SETTLING = ("order", "coupon", "product", "payment")
"""The services that settle an order."""

CANCELS, ARRIVALS = "cancels", "arrivals"


class ShopScenario(Scenario, frozen=True, kw_only=True):
    """`arrivals`: so many units may be supplied, one at a time. `refusals` of refunds."""

    orders: int = 1
    method: PaymentMethod = PaymentMethod.WALLET
    on_shortage: OnShortage = OnShortage.REJECT
    with_coupon: bool = False
    balance: int = 100
    stock: int = 1
    cancels: int = 1
    arrivals: int = 0
    refusals: int = 0
    may_expire: bool = True

    @property
    def bounds(self) -> dict[str, int]:
        return {CANCELS: self.cancels, ARRIVALS: self.arrivals}

    @property
    def coupon_id(self) -> str | None:
        return COUPON if self.with_coupon else None

    def external_world(self) -> Gateway:
        return Gateway(refusals_left=self.refusals)

    def beginning(self) -> Locals:
        """The orders are placed; no other service has handled them."""
        orders = {order_id: self._order(order_id) for order_id in ORDERS[: self.orders]}
        created: tuple[Event, ...] = tuple(self._created(order) for order in orders.values())
        opening = ((CUSTOMER, None, self.balance),)
        stocked = ((PRODUCT, None, self.stock),)
        issued = {COUPON: _issued()} if self.with_coupon else {}
        products, wallets = {PRODUCT: self._product()}, {CUSTOMER: self._wallet()}
        return {
            "order": Local((table(orders), (), (), ()), (), self.inbox, created),
            "coupon": Local(((), table(issued)), (), self.inbox),
            "product": Local(((), table(products), ()), stocked, self.inbox),
            "payment": Local((table(wallets), ()), opening, self.inbox),
            "user": Local(((), ()), (), self.inbox),
        }

    def commands(self, service: str, local: Local, left: Mapping[str, int]) -> Iterator[Move]:
        at: Mapping[str, Callable[..., Iterator[Move]]] = {
            "order": self._at_order,
            "product": self._at_product,
            "payment": self._at_payment,
        }
        if service in at:
            yield from at[service](SERVICES[service].sagas(local), left)

    def _at_order(self, rows: dict[str, Order], left: Mapping[str, int]) -> Iterator[Move]:
        for order_id, order in rows.items():
            if order.state in EXPIRES and self.may_expire:
                yield Move(
                    f"order {short(order_id)}'s deadline comes", ExpireOrder(order_id=order_id)
                )
            if order.state is OrderState.COMPLETED and left[CANCELS]:
                cancel = CancelOrder(order_id=order_id)
                yield Move(f"order {short(order_id)} is cancelled", cancel, CANCELS)

    def _at_product(self, rows: dict[str, Any], left: Mapping[str, int]) -> Iterator[Move]:
        for order_id, hold in rows.items():
            if hold.state is HoldState.WAITING:
                end = EndWait(order_id=order_id)
                yield Move(f"the wait of order {short(order_id)} expires", end)
        if left[ARRIVALS]:
            book = BookStock(
                product_id=PRODUCT,
                request_id=f"arrival {left[ARRIVALS]}",
                delta=1,
                reason="",
                order_id=None,
            )
            yield Move("a unit is supplied", book, ARRIVALS)

    def _at_payment(self, rows: dict[str, Any], _: Mapping[str, int]) -> Iterator[Move]:
        for order_id, payment in rows.items():
            if payment.retry_at is not None:
                words = f"payment begins the call for order {short(order_id)} again"
                yield Move(words, ResumePayment(order_id=order_id))

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
            sold_out=self.stock <= 0,
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
    ShopScenario(name="one order", with_coupon=True, duplicates=0),
    ShopScenario(name="delivered twice", with_coupon=True, cancels=2, retransmits=False),
    ShopScenario(name="a poor wallet", with_coupon=True, balance=1, duplicates=0),
    ShopScenario(name="no stock", with_coupon=True, stock=0),
    ShopScenario(
        name="a loss", with_coupon=True, losses=1, duplicates=0, cancels=0, retransmits=False
    ),
    ShopScenario(
        name="without inbox", with_coupon=True, with_inbox=False, cancels=2, retransmits=False
    ),
    ShopScenario(
        name="two orders, one coupon, one unit",
        orders=2,
        with_coupon=True,
        duplicates=0,
        cancels=0,
        retransmits=False,
    ),
    ShopScenario(
        name="waiting for stock",
        with_coupon=True,
        stock=0,
        on_shortage=WAIT,
        arrivals=1,
        retransmits=False,
    ),
    ShopScenario(
        name="two wait for one unit",
        orders=2,
        stock=0,
        on_shortage=WAIT,
        arrivals=1,
        duplicates=0,
        cancels=0,
        may_expire=False,
        retransmits=False,
    ),
    ShopScenario(name="a card", method=CARD, refusals=1, cancels=2, retransmits=False),
    ShopScenario(
        name="a card, retransmitted",
        method=CARD,
        duplicates=0,
        refusals=1,
        may_expire=False,
    ),
    ShopScenario(
        name="a card without inbox",
        method=CARD,
        with_inbox=False,
        refusals=1,
        cancels=2,
        retransmits=False,
    ),
    *(
        ShopScenario(
            name=f"{service} is restored",
            with_coupon=True,
            duplicates=0,
            retransmits=False,
            restored=service,
        )
        for service in SETTLING
    ),
)
FULL = (
    *SMALL,
    *(
        ShopScenario(
            name=f"{service} is restored, with a card",
            method=CARD,
            refusals=1,
            cancels=2,
            duplicates=0,
            retransmits=False,
            restored=service,
        )
        for service in SETTLING
    ),
    *(
        ShopScenario(
            name=f"{service} is restored, two orders",
            orders=2,
            with_coupon=True,
            balance=PRICE,
            duplicates=0,
            may_expire=False,
            retransmits=False,
            restored=service,
        )
        for service in SETTLING
    ),
    ShopScenario(
        name="product is restored, two wait",
        orders=2,
        stock=1,
        on_shortage=WAIT,
        duplicates=0,
        cancels=1,
        may_expire=False,
        retransmits=False,
        restored="product",
    ),
    ShopScenario(name="one order, delivered twice, retransmitted", with_coupon=True),
    ShopScenario(name="a poor wallet, delivered twice", with_coupon=True, balance=1),
    ShopScenario(
        name="without inbox, delivered three times",
        with_coupon=True,
        with_inbox=False,
        duplicates=2,
        cancels=2,
        retransmits=False,
    ),
    ShopScenario(
        name="a loss, without inbox",
        with_coupon=True,
        with_inbox=False,
        losses=1,
        duplicates=0,
        retransmits=False,
    ),
    ShopScenario(name="two losses", with_coupon=True, losses=2, duplicates=0, retransmits=False),
    ShopScenario(
        name="a loss, noticed",
        with_coupon=True,
        losses=1,
        duplicates=0,
        retransmits=False,
        republishes=True,
    ),
    ShopScenario(name="a card and a loss", method=CARD, losses=1, duplicates=0, retransmits=False),
    ShopScenario(
        name="two orders, delivered twice, cancelled",
        orders=2,
        with_coupon=True,
        retransmits=False,
    ),
    ShopScenario(
        name="waiting for stock, and a loss",
        with_coupon=True,
        stock=0,
        on_shortage=WAIT,
        arrivals=1,
        losses=1,
        duplicates=0,
        retransmits=False,
    ),
    ShopScenario(
        name="waiting for stock without inbox",
        with_coupon=True,
        stock=0,
        on_shortage=WAIT,
        arrivals=1,
        with_inbox=False,
        retransmits=False,
    ),
    ShopScenario(
        name="two wait for the unit that the first releases",
        orders=2,
        stock=1,
        on_shortage=WAIT,
        duplicates=0,
        cancels=1,
        may_expire=False,
        retransmits=False,
    ),
    ShopScenario(
        name="two orders and a loss",
        orders=2,
        with_coupon=True,
        losses=1,
        duplicates=0,
        cancels=0,
        may_expire=False,
        retransmits=False,
    ),
)
