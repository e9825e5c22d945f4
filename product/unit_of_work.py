"""The rows that a batch of the product service works on, and how orders move them. Pure."""

from datetime import datetime

import msgspec

from events.contract import CouponUsed, FailReason, Line, ProductStatus
from product.commands import no_product, unknown_category
from product.domain import Category, Entry, Hold, HoldState, PriceSince, Product
from product.queues import Queues
from product.sales import Sale, sales_of
from saga.unit_of_work import Ledger, Rows, UnitOfWork


class ProductUnitOfWork(UnitOfWork):
    """`available` changes in `book` and nowhere else.

    `booked` are the ledger entries of earlier batches that commands of this one may repeat, and
    those of this batch, by product and request id.
    """

    def __init__(
        self,
        now: datetime,
        holds: Rows[str, Hold],
        products: Rows[str, Product],
        booked: Rows[tuple[str, str], Entry],
        ledger: Ledger[Entry],
        queues: Queues,
        categories: Rows[str, Category] | None = None,
    ) -> None:
        self.prices: Ledger[PriceSince] = Ledger()
        self.sales: Ledger[Sale] = Ledger()
        self.categories = categories or Rows[str, Category]()
        rows = holds, products, booked, ledger, queues, self.categories
        super().__init__(now, *rows, self.prices, self.sales)
        self.holds = holds
        self.products = products
        self.booked = booked
        self.ledger = ledger
        self.queues = queues

    def get_product(self, product_id: str) -> Product:
        """Raises NotFound."""
        product = self.products.get(product_id)
        if product is None:
            raise no_product(product_id)
        return product

    def find_category(self, name: str) -> Category | None:
        """The category of this name, as it is within this batch."""
        return next((each for each in self.categories.current if each.name == name), None)

    def check_category(self, name: str) -> None:
        """Raises Refused when there is none of this name; an empty name is no category."""
        if name and self.find_category(name) is None:
            raise unknown_category(name)

    def change(self, product: Product) -> Product:
        """Store a product under its next version, which its ProductChanged then carries."""
        known = self.products.get(product.product_id)
        if known is None or known.price != product.price:
            price = PriceSince(product_id=product.product_id, price=product.price, since=self.now)
            self.prices.add(price)
        changed = msgspec.structs.replace(product, version=product.version + 1, updated_at=self.now)
        self.products[product.product_id] = changed
        return changed

    def book(self, entry: Entry, *, reserved: int = 0) -> None:
        """Change `available` by the entry's delta, and `reserved` by so many units."""
        product = self.products[entry.product_id]
        self.products[entry.product_id] = msgspec.structs.replace(
            product, available=entry.balance_after, reserved=product.reserved + reserved
        )
        self.booked[entry.product_id, entry.request_id] = entry
        self.ledger.add(entry)

    def entry(
        self, product: Product, request_id: str, delta: int, reason: str, order_id: str | None
    ) -> Entry:
        """A ledger entry that changes the stock by `delta`, not booked yet."""
        return Entry(
            product_id=product.product_id,
            request_id=request_id,
            delta=delta,
            reason=reason,
            order_id=order_id,
            balance_after=product.available + delta,
            created_at=self.now,
        )

    # ------------------------------------------------------------ what orders do

    def find_unsellable(self, items: tuple[Line, ...]) -> tuple[FailReason, str] | None:
        """The first line whose product is not for sale, and why; None when all are for sale."""
        for line in items:
            product = self.products.get(line.product_id)
            if product is None:
                return FailReason.PRODUCT_NOT_FOUND, line.product_id
            if product.status is ProductStatus.DISCONTINUED:
                return FailReason.PRODUCT_DISCONTINUED, line.product_id
        return None

    def find_shortage(self, items: tuple[Line, ...]) -> tuple[FailReason, str] | None:
        """The first line with too few units available; None when there are enough of all."""
        for line in items:
            if self.products[line.product_id].available < line.quantity:
                return FailReason.INSUFFICIENT_STOCK, line.product_id
        return None

    def reserve(self, order_id: str, items: tuple[Line, ...]) -> None:
        """Hold all lines for the order."""
        for line in items:
            product = self.products[line.product_id]
            key = f"DEC-{order_id}"
            entry = self.entry(product, key, -line.quantity, "ORDER", order_id)
            self.book(entry, reserved=line.quantity)
        self.record(order_id, HoldState.HELD, items)

    def sell(self, hold: Hold) -> None:
        """The order is paid: its units are sold, and counted as such."""
        for line in hold.items:
            product = self.products[line.product_id]
            self.products[line.product_id] = msgspec.structs.replace(
                product, reserved=product.reserved - line.quantity
            )
        sold = self.holds[hold.order_id] = hold.move_to(HoldState.SOLD, self.now)
        for sale in sales_of(sold):
            self.sales.add(sale)

    def restore(self, hold: Hold) -> None:
        """Make available again what the order held or had bought; a sale is taken off."""
        for line in hold.items:
            product = self.products[line.product_id]
            key = f"INC-{hold.order_id}"
            entry = self.entry(product, key, line.quantity, "ORDER_UNDONE", hold.order_id)
            self.book(entry, reserved=-line.quantity if hold.state is HoldState.HELD else 0)
        if hold.state is HoldState.SOLD:
            for sale in sales_of(hold):
                self.sales.add(-sale)
        self.holds[hold.order_id] = hold.move_to(HoldState.RELEASED, self.now)

    def record(
        self,
        order_id: str,
        state: HoldState,
        items: tuple[Line, ...] = (),
        wanted: CouponUsed | None = None,
    ) -> None:
        self.holds[order_id] = Hold(
            order_id=order_id, state=state, items=items, wanted=wanted, updated_at=self.now
        )
