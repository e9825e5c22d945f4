"""What the reactions and commands of the order service work on."""

from datetime import datetime

from events.contract import Address
from order.addresses import KnownAddress, Recipient, ShippingAddress
from order.cart import Cart
from order.domain import ListedProduct, Order, OrderState
from saga.unit_of_work import Erased, Rows, UnitOfWork


class OrderUnitOfWork(UnitOfWork):
    """The rows of a batch. `prices` is the price projection, by product id.

    `recipients` and `addresses` are those that an address is stored or looked up for; `shipping`
    has the snapshots by order id.
    """

    def __init__(
        self,
        now: datetime,
        orders: Rows[str, Order],
        prices: Rows[str, ListedProduct],
        carts: Rows[str, Cart],
        recipients: Rows[str, Recipient] | None = None,
        addresses: Rows[str, KnownAddress] | None = None,
        shipping: Rows[str, ShippingAddress] | None = None,
    ) -> None:
        self.recipients = recipients or Rows()
        self.addresses = addresses or Rows()
        self.shipping = shipping or Rows()
        super().__init__(now, orders, prices, carts, self.recipients, self.addresses, self.shipping)
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

    # ------------------------------------------------------------ addresses

    def is_erased(self, customer_id: str) -> bool:
        recipient = self.recipients.get(customer_id)
        return recipient is not None and recipient.erased_at is not None

    def ship(self, order_id: str, customer_id: str, address: Address) -> None:
        """Store where an order is shipped to; nothing of an erased customer."""
        if self._stores_for(customer_id):
            self.shipping[order_id] = ShippingAddress.of(order_id, customer_id, address)

    def copy_address(self, copied: KnownAddress) -> None:
        """Store a newer version of an address; nothing of an erased customer."""
        known = self.addresses.get(copied.address_id)
        if known is not None and known.version >= copied.version:
            return
        if self._stores_for(copied.customer_id):
            self.addresses[copied.address_id] = copied

    def erase(self, customer_id: str) -> None:
        """Erase what is stored of a customer, but for amounts and lines. Idempotent."""
        known = self.recipients.get(customer_id)
        if known is None or known.erased_at is None:
            created_at = known.created_at if known else self.now
            self.recipients[customer_id] = Recipient(
                customer_id=customer_id, created_at=created_at, erased_at=self.now
            )
        self.erased.add(Erased(customer_id))

    def _stores_for(self, customer_id: str) -> bool:
        if customer_id not in self.recipients:
            self.recipients[customer_id] = Recipient(customer_id=customer_id, created_at=self.now)
        return not self.is_erased(customer_id)
