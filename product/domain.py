"""Products, their stock, and what orders hold of it. Pure: no clock, no I/O, no framework.

An order's row here moves forward only:

    NONE -> WAITING -> HELD -> SOLD      (or NONE -> HELD at once)
     |         |        |       |
     v         v        v       v
    REFUSED <--+     RELEASED   <- NONE, WAITING (a tombstone: the order died meanwhile)

Of each product: what came in = available + held + sold + what went out. Every change of
`available` has its row in the ledger, written in the same transaction.
"""

from datetime import datetime
from enum import StrEnum

import msgspec

from events.contract import CouponUsed, FailReason, Line, ProductStatus
from product.queues import Queues
from product.sales import Sale
from saga.errors import Invalid, KeyReused, NotFound, Refused
from saga.unit_of_work import Ledger, Rows, UnitOfWork

MAX_STOCK = 10**12
INITIAL = "INITIAL"
"""The ledger key of a product's first stock."""


class HoldState(StrEnum):
    WAITING = "WAITING"
    HELD = "HELD"
    SOLD = "SOLD"
    REFUSED = "REFUSED"
    RELEASED = "RELEASED"


UNSETTLED = frozenset({HoldState.WAITING, HoldState.HELD})


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """`available` can be sold now; `reserved` is held by orders that are not paid yet.

    `waiting` orders stand in its queue; the last to come drew `last_ticket`.
    """

    product_id: str
    version: int
    name: str
    price: int
    description: str
    category: str
    status: ProductStatus
    available: int
    reserved: int
    waiting: int = 0
    last_ticket: int = 0
    created_at: datetime
    updated_at: datetime


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a product's stock ledger. `request_id` is unique for the product.

    `booked_by` is whom the client named; None for what the shop booked by itself.
    """

    product_id: str
    request_id: str
    delta: int
    reason: str
    order_id: str | None
    balance_after: int
    created_at: datetime
    booked_by: str | None = None


class PriceSince(msgspec.Struct, frozen=True, kw_only=True):
    """What a product costs from a time on, until it is changed again."""

    product_id: str
    price: int
    since: datetime


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """An order's row in this service: what it waits for, holds, or has bought.

    `wanted` is what it asked for, while it waits.
    """

    order_id: str
    state: HoldState
    items: tuple[Line, ...]
    wanted: CouponUsed | None = None
    updated_at: datetime

    @property
    def is_tombstone(self) -> bool:
        """The order died before it could hold anything here."""
        return self.state is HoldState.RELEASED and not self.items

    def moved(self, state: HoldState, now: datetime) -> "Hold":
        return msgspec.structs.replace(self, state=state, updated_at=now)


class Shelves(UnitOfWork):
    """What a batch works on. `available` changes in `book` and nowhere else."""

    def __init__(
        self,
        now: datetime,
        holds: Rows[str, Hold],
        products: Rows[str, Product],
        booked: Rows[tuple[str, str], Entry],
        ledger: Ledger[Entry],
        queues: Queues,
    ) -> None:
        self.prices: Ledger[PriceSince] = Ledger()
        self.sales: Ledger[Sale] = Ledger()
        super().__init__(now, holds, products, booked, ledger, queues, self.prices, self.sales)
        self.holds = holds
        self.products = products
        self.booked = booked
        self.ledger = ledger
        self.queues = queues

    def product(self, product_id: str) -> Product:
        """Raises NotFound."""
        product = self.products.get(product_id)
        if product is None:
            raise no_product(product_id)
        return product

    def change(self, product: Product) -> Product:
        """Put a product back that the catalogue must hear of."""
        known = self.products.get(product.product_id)
        if known is None or known.price != product.price:
            price = PriceSince(product_id=product.product_id, price=product.price, since=self.now)
            self.prices.add(price)
        changed = msgspec.structs.replace(product, version=product.version + 1, updated_at=self.now)
        self.products[product.product_id] = changed
        return changed

    def book(self, entry: Entry, *, reserved: int = 0) -> None:
        """Change what is available by the entry's delta, and what is reserved."""
        product = self.products[entry.product_id]
        self.products[entry.product_id] = msgspec.structs.replace(
            product, available=entry.balance_after, reserved=product.reserved + reserved
        )
        self.booked[entry.product_id, entry.request_id] = entry
        self.ledger.add(entry)

    def entry(
        self, product: Product, request_id: str, delta: int, reason: str, order_id: str | None
    ) -> Entry:
        """A ledger line for a change of the stock by `delta`, not booked yet."""
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

    def not_sold(self, items: tuple[Line, ...]) -> tuple[FailReason, str] | None:
        """The first line that nobody can have, and why; None when all are on offer."""
        for line in items:
            product = self.products.get(line.product_id)
            if product is None:
                return FailReason.PRODUCT_NOT_FOUND, line.product_id
            if product.status is ProductStatus.DISCONTINUED:
                return FailReason.PRODUCT_DISCONTINUED, line.product_id
        return None

    def shortage(self, items: tuple[Line, ...]) -> tuple[FailReason, str] | None:
        """The first line of which there is too little now; None when all are there."""
        for line in items:
            if self.products[line.product_id].available < line.quantity:
                return FailReason.INSUFFICIENT_STOCK, line.product_id
        return None

    def take(self, order_id: str, items: tuple[Line, ...]) -> None:
        """Hold all lines for the order."""
        for line in items:
            product = self.products[line.product_id]
            key = f"DEC-{order_id}"
            entry = self.entry(product, key, -line.quantity, "ORDER", order_id)
            self.book(entry, reserved=line.quantity)
        self.record(order_id, HoldState.HELD, items)

    def sell(self, hold: Hold) -> None:
        """The order is paid: what it held has left the shelf for good."""
        for line in hold.items:
            product = self.products[line.product_id]
            self.products[line.product_id] = msgspec.structs.replace(
                product, reserved=product.reserved - line.quantity
            )
        self.holds[hold.order_id] = hold.moved(HoldState.SOLD, self.now)

    def put_back(self, hold: Hold) -> None:
        """What the order held or had bought is available again."""
        for line in hold.items:
            product = self.products[line.product_id]
            key = f"INC-{hold.order_id}"
            entry = self.entry(product, key, line.quantity, "ORDER_UNDONE", hold.order_id)
            self.book(entry, reserved=-line.quantity if hold.state is HoldState.HELD else 0)
        self.holds[hold.order_id] = hold.moved(HoldState.RELEASED, self.now)

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


# ---------------------------------------------------------------- commands


class CreateProduct(msgspec.Struct, frozen=True, kw_only=True):
    product_id: str
    name: str
    price: int
    stock: int
    description: str = ""
    category: str = ""


class SeedProduct(CreateProduct, frozen=True, kw_only=True):
    """As CreateProduct, but does nothing when the product is there."""


class ChangeProduct(msgspec.Struct, frozen=True, kw_only=True):
    """None leaves a field as it is."""

    product_id: str
    name: str | None = None
    price: int | None = None
    description: str | None = None
    category: str | None = None
    status: ProductStatus | None = None

    def changes(self) -> dict[str, object]:
        fields = {name: getattr(self, name) for name in self.__struct_fields__[1:]}
        return {name: value for name, value in fields.items() if value is not None}


class EndWait(msgspec.Struct, frozen=True, kw_only=True):
    """An order has waited for stock long enough."""

    order_id: str


class BookStock(msgspec.Struct, frozen=True, kw_only=True):
    """Bring `delta` units in, or take them out, once for each `request_id`."""

    product_id: str
    request_id: str
    delta: int
    reason: str
    order_id: str | None
    booked_by: str | None = None

    def check_repeat(self, entry: Entry) -> None:
        """Raises KeyReused when the entry of this key books something else."""
        if entry.delta != self.delta:
            raise KeyReused(
                "this Idempotency-Key booked another change of this product; send a new key"
            )

    def check_new(self, product: Product) -> None:
        """Raises Invalid for a key of the saga's own, Refused when there is too little left."""
        if self.request_id.startswith(("DEC-", "INC-")) or self.request_id == INITIAL:
            raise Invalid("Idempotency-Key: DEC-, INC- and INITIAL are kept for the shop's own use")
        if product.available + self.delta < 0:
            raise Refused(
                f"only {product.available} are available",
                code="INSUFFICIENT_STOCK",
                details={"available": product.available, "delta": self.delta},
            )
        if product.available + self.delta > MAX_STOCK:
            raise Invalid(f"delta: a product's stock stays below {MAX_STOCK}")


SEED = (
    SeedProduct(
        product_id="0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0",
        name="Coffee",
        price=5_000,
        stock=1000,
        category="drinks",
    ),
    SeedProduct(
        product_id="1a2b3c4d-5e6f-7089-9a0b-cdef12345678",
        name="Sandwich",
        price=8_000,
        stock=500,
        category="meals",
    ),
    SeedProduct(
        product_id="2b3c4d5e-6f70-8192-a3b4-cdef56789012",
        name="Salad",
        price=12_000,
        stock=300,
        category="meals",
    ),
    SeedProduct(
        product_id="3c4d5e6f-7081-92a3-b4c5-def678901234",
        name="Pizza",
        price=25_000,
        stock=200,
        category="meals",
    ),
    SeedProduct(
        product_id="4d5e6f70-8192-a3b4-c5d6-ef7890123456",
        name="Pasta",
        price=18_000,
        stock=250,
        category="meals",
    ),
)
"""The products of a new stack."""


def no_product(product_id: str) -> NotFound:
    return NotFound(f"there is no product {product_id}", code="PRODUCT_NOT_FOUND")
