"""What the reactions and commands of the order service work on."""

from datetime import datetime

from order.cart import Cart
from order.domain import ListedProduct, Order, OrderState
from saga.unit_of_work import Rows, UnitOfWork


class OrderUnitOfWork(UnitOfWork):
    """The rows of a batch. `prices` is the price projection, by product id."""

    def __init__(
        self,
        now: datetime,
        orders: Rows[str, Order],
        prices: Rows[str, ListedProduct],
        carts: Rows[str, Cart],
    ) -> None:
        super().__init__(now, orders, prices, carts)
        self.orders = orders
        self.prices = prices
        self.carts = carts

    def in_state(self, order_id: str, *states: OrderState) -> Order | None:
        """The order, if it is in one of these states."""
        order = self.orders.get(order_id)
        return order if order is not None and order.state in states else None

    def cart_of(self, customer_id: str) -> Cart:
        """The customer's cart; a new one if there is none yet."""
        new = Cart(customer_id=customer_id, items=(), created_at=self.now, updated_at=self.now)
        return self.carts.get(customer_id) or new
