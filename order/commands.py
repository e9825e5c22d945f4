"""The commands of the order service, and the refusals that they are answered with."""

import msgspec

from events.contract import Address, OnShortage, PaymentMethod
from order.domain import Order
from saga.errors import NotFound, Refused


class WantedLine(msgspec.Struct, frozen=True, kw_only=True):
    """`price`, if the client sent one, is what it expects one unit to cost, in KRW."""

    product_id: str
    quantity: int
    price: int | None = None


class PlaceOrder(msgspec.Struct, frozen=True, kw_only=True):
    """`price`, if the client sent one, is the total that it expects, in KRW.

    `from_cart`: the lines are those of the customer's cart, as they were read. `address_id`: one of
    the customer's address book, in place of `address`.
    """

    order_id: str
    customer_id: str
    items: tuple[WantedLine, ...]
    price: int | None = None
    coupon_id: str | None = None
    payment_method: PaymentMethod = PaymentMethod.WALLET
    on_shortage: OnShortage = OnShortage.REJECT
    address: Address | None = None
    address_id: str | None = None
    from_cart: bool = False

    @property
    def is_shipped(self) -> bool:
        """Does it have an address?"""
        return self.address is not None or self.address_id is not None


class AcceptedOrder(msgspec.Struct, frozen=True, kw_only=True):
    """The result of PlaceOrder."""

    order_id: str
    total_amount: int


class CancelOrder(msgspec.Struct, frozen=True, kw_only=True):
    """The customer wants a refund."""

    order_id: str


class ExpireOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order's deadline has come."""

    order_id: str


class SetHotProduct(msgspec.Struct, frozen=True, kw_only=True):
    """Enable or disable hot-product admission for a product."""

    product_id: str
    hot: bool


class AddToCart(msgspec.Struct, frozen=True, kw_only=True):
    """Add `quantity` units of a product."""

    customer_id: str
    product_id: str
    quantity: int


class ChangeCartItem(msgspec.Struct, frozen=True, kw_only=True):
    """Set the quantity of a product that is in the cart."""

    customer_id: str
    product_id: str
    quantity: int


class TakeFromCart(msgspec.Struct, frozen=True, kw_only=True):
    """Remove a product, or all of them."""

    customer_id: str
    product_id: str | None = None


# ---------------------------------------------------------------- refusals


def no_order(order_id: str) -> NotFound:
    values = {"orderId": order_id}
    return NotFound(f"there is no order {order_id}", code="ORDER_NOT_FOUND", values=values)


def no_address(address_id: str) -> Refused:
    return Refused(
        f"there is no address {address_id} in the customer's address book; a new one can be used a "
        "moment later",
        code="ADDRESS_NOT_FOUND",
        details={"addressId": address_id},
    )


def account_erased() -> Refused:
    return Refused(
        "the customer's account is erased, and no address of theirs is stored any more; sign up "
        "again",
        code="ACCOUNT_ERASED",
    )


def not_completed(order: Order) -> Refused:
    return Refused(
        f"only a COMPLETED order can be cancelled, this one is {order.status}",
        code="INVALID_STATE",
        details={"status": order.status},
    )


def no_product(product_id: str) -> NotFound:
    return NotFound(
        f"there is no product {product_id}",
        code="PRODUCT_NOT_FOUND",
        details={"productId": product_id},
    )


def sold_out(product_id: str, available: int) -> Refused:
    left = f"only {available} units are left" if available else "no unit is left"
    return Refused(
        f"{left} of product {product_id}",
        code="INSUFFICIENT_STOCK",
        details={"reason": "SOLD_OUT", "productId": product_id, "available": available},
    )


def price_mismatch(sent: int, price: int, product_id: str | None = None) -> Refused:
    """For the price of a product, or for the total."""
    field = f"items of {product_id}" if product_id else "price"
    return Refused(
        f"{field}: the price is KRW {price}, not {sent}; show it to the customer and order again",
        code="PRICE_MISMATCH",
        details={"sent": sent, "price": price} | ({"productId": product_id} if product_id else {}),
    )


def empty_cart() -> Refused:
    return Refused("there is nothing in the cart; put something in first", code="CART_EMPTY")


def no_cart_item(product_id: str) -> NotFound:
    return NotFound(
        f"there is no product {product_id} in the cart; add it first",
        code="CART_ITEM_NOT_FOUND",
        details={"productId": product_id},
    )
