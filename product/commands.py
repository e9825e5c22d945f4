"""The commands of clients and timers, and the products of a new stack. Pure."""

import msgspec

from events.contract import ProductStatus
from product.domain import INITIAL, MAX_STOCK, Entry, Product
from saga.errors import Conflict, Invalid, KeyReused, NotFound, Refused


class CreateProduct(msgspec.Struct, frozen=True, kw_only=True):
    product_id: str
    name: str
    price: int
    stock: int
    description: str = ""
    category: str = ""


class SeedProduct(CreateProduct, frozen=True, kw_only=True):
    """As CreateProduct, but has no effect when the product exists."""


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


class ShowAvailability(msgspec.Struct, frozen=True, kw_only=True):
    """Correct what others are shown after a restore: adoption moves stock and publishes nothing."""

    product_id: str


class CreateCategory(msgspec.Struct, frozen=True, kw_only=True):
    category_id: str
    name: str


class SeedCategory(CreateCategory, frozen=True, kw_only=True):
    """As CreateCategory, but has no effect when there is one of this id or name."""


class RenameCategory(msgspec.Struct, frozen=True, kw_only=True):
    """Rename a category, in its products too."""

    category_id: str
    name: str


class EndWait(msgspec.Struct, frozen=True, kw_only=True):
    """An order's time in the queues for stock is over."""

    order_id: str


class BookStock(msgspec.Struct, frozen=True, kw_only=True):
    """Bring `delta` units in, or take them out, once for each `request_id`."""

    product_id: str
    request_id: str
    delta: int
    reason: str
    order_id: str | None
    booked_by: str | None = None

    def check_replay(self, entry: Entry) -> None:
        """Raises KeyReused when the entry of this key books something else."""
        if entry.delta != self.delta:
            raise KeyReused(
                "this Idempotency-Key booked another change of this product; send a new key"
            )

    def check_new(self, product: Product) -> None:
        """Raises Invalid for a key of the saga's own, Refused when too few units are available."""
        if self.request_id.startswith(("DEC-", "INC-")) or self.request_id == INITIAL:
            message = "DEC-, INC- and INITIAL are kept for the shop's own use"
            raise Invalid.field("Idempotency-Key", message, source="header")
        if self.delta < 0 and product.available + self.delta < 0:
            raise Refused(
                f"only {product.available} are available",
                code="INSUFFICIENT_STOCK",
                details={"available": product.available, "delta": self.delta},
            )
        if product.available + self.delta > MAX_STOCK:
            raise Invalid.field("delta", f"a product's stock stays below {MAX_STOCK}")


SEED = (
    SeedCategory(category_id="5e6f7081-92a3-4c4d-8e5f-90a1b2c3d4e5", name="drinks"),
    SeedCategory(category_id="6f708192-a3b4-4d5e-8f60-a1b2c3d4e5f6", name="meals"),
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
"""The categories and products of a new stack."""


def no_product(product_id: str) -> NotFound:
    return NotFound(
        f"there is no product {product_id}",
        code="PRODUCT_NOT_FOUND",
        values={"productId": product_id},
    )


def no_category(category_id: str) -> NotFound:
    return NotFound(
        f"there is no category {category_id}",
        code="CATEGORY_NOT_FOUND",
        values={"category": category_id},
    )


def unknown_category(name: str) -> Refused:
    return Refused(
        f"there is no category {name}; create it with POST /api/v1/categories",
        code="CATEGORY_NOT_FOUND",
        details={"category": name},
    )


def category_exists(name: str) -> Conflict:
    return Conflict(
        f"there is a category {name} already", code="CATEGORY_EXISTS", values={"category": name}
    )
