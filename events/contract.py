"""Every event of the saga, in the order in which an order meets them.

An event is a fact that its owner has already committed. It carries what the next service needs, so
that no service looks anything up in another one. Amounts are whole KRW, times are UTC, ids are
UUIDs in their canonical text form. On the wire the names are camelCase. Readers ignore fields that
they do not know, so a field may be added but never removed or given another meaning. A change that
old readers would misunderstand is a new event.

Producers and consumers are not listed here: they follow from the services' reactions
(`saga.choreography`), and `docs/CHOREOGRAPHY.md` shows them.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, ClassVar

import msgspec

from saga.event import Contract, Event, Id, Part, Stream
from saga.personal import Personal

SAGA = Stream(name="SAGA", prefix="saga", key="orderId", is_limited=True)
CATALOG = Stream(name="CATALOG", prefix="catalog", key="productId", newest_only=True)
USERS = Stream(name="USERS", prefix="user", key="userId")
KEYS = Stream(name="KEYS", prefix="keys", key="keyId", newest_only=True)
PERSONAL = Stream(
    name="PERSONAL",
    prefix="personal",
    key="userId",
    newest_only=True,
    has_entries=True,
    is_personal=True,
)
"""What names a person, apart from ids. Only user and order read it, and an erasure purges it."""

SHIPPING = Personal("To ship orders to.")

MAX_AMOUNT = 10**9
"""The largest quantity, and the largest amount in KRW, that a client may send for one item."""

RequestAmount = Annotated[int, msgspec.Meta(ge=1, le=MAX_AMOUNT)]
"""A quantity or an amount in KRW, as a client may send it."""

MAX_TOTAL = 10**15
"""The largest total of one order, in KRW."""

RequestTotal = Annotated[int, msgspec.Meta(ge=1, le=MAX_TOTAL)]
"""The total of an order in KRW, as a client may send it."""

Quantity = Annotated[int, msgspec.Meta(ge=1)]
AmountKrw = Annotated[int, msgspec.Meta(ge=0)]
Counter = Annotated[int, msgspec.Meta(ge=1)]


class FailReason(StrEnum):
    """Why an order ended as FAILED."""

    COUPON_NOT_FOUND = "COUPON_NOT_FOUND"
    COUPON_NOT_OWNED = "COUPON_NOT_OWNED"
    COUPON_ALREADY_USED = "COUPON_ALREADY_USED"
    COUPON_NOT_YET_VALID = "COUPON_NOT_YET_VALID"
    COUPON_EXPIRED = "COUPON_EXPIRED"
    COUPON_REVOKED = "COUPON_REVOKED"
    COUPON_MIN_AMOUNT = "COUPON_MIN_AMOUNT"
    INSUFFICIENT_STOCK = "INSUFFICIENT_STOCK"
    PRODUCT_NOT_FOUND = "PRODUCT_NOT_FOUND"
    PRODUCT_DISCONTINUED = "PRODUCT_DISCONTINUED"
    WAIT_EXPIRED = "WAIT_EXPIRED"
    INSUFFICIENT_BALANCE = "INSUFFICIENT_BALANCE"
    WALLET_NOT_FOUND = "WALLET_NOT_FOUND"
    PG_DECLINED = "PG_DECLINED"
    ORDER_TIMED_OUT = "ORDER_TIMED_OUT"
    SYSTEM_ERROR = "SYSTEM_ERROR"


class PaymentMethod(StrEnum):
    """From the customer's wallet, or by card through the payment gateway."""

    WALLET = "WALLET"
    CARD = "CARD"


class OnShortage(StrEnum):
    """What happens to an order when stock is short: it fails, or it waits in the queue."""

    REJECT = "REJECT"
    WAIT = "WAIT"


class ProductStatus(StrEnum):
    """A discontinued product is no longer sold."""

    ACTIVE = "ACTIVE"
    DISCONTINUED = "DISCONTINUED"


class Line(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One product of an order. `price` is for one unit, as the order was accepted with it."""

    product_id: Id
    quantity: Quantity
    price: AmountKrw


class Address(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A shipping address."""

    street: Annotated[str, SHIPPING]
    postal_code: Annotated[str, SHIPPING]
    city: Annotated[str, SHIPPING]


class SagaEvent(Event, frozen=True, kw_only=True):
    """A step of one order."""

    stream: ClassVar[Stream] = SAGA

    order_id: Id

    @property
    def key(self) -> str:
        return self.order_id


# ---------------------------------------------------------------- the way forward


class OrderCreated(SagaEvent, frozen=True, kw_only=True):
    """An order was accepted at these prices and waits for the others.

    `accepted_at`: its coupon is judged by this time. None in events of the version before, whose
    orders are judged when they reach the coupon service. `address`: only in events of the version
    before; since then it is in ShippingAddressGiven, which coupon, product and payment can't read.
    """

    customer_id: Id
    items: tuple[Line, ...]
    total_amount: AmountKrw
    coupon_id: Id | None = None
    payment_method: PaymentMethod = PaymentMethod.WALLET
    on_shortage: OnShortage = OnShortage.REJECT
    address: Address | None = None
    accepted_at: datetime | None = None


class CouponUsed(SagaEvent, frozen=True, kw_only=True):
    """The order holds its coupon. Emitted for an order without one too, with a discount of 0."""

    decides: ClassVar[str | None] = "coupon"

    customer_id: Id
    items: tuple[Line, ...]
    total_amount: AmountKrw
    discount_amount: AmountKrw
    payable_amount: AmountKrw
    coupon_id: Id | None = None
    payment_method: PaymentMethod = PaymentMethod.WALLET
    on_shortage: OnShortage = OnShortage.REJECT


class StockDecremented(SagaEvent, frozen=True, kw_only=True):
    """The stock of every line is held for the order."""

    decides: ClassVar[str | None] = "stock"

    customer_id: Id
    items: tuple[Line, ...]
    total_amount: AmountKrw
    discount_amount: AmountKrw
    payable_amount: AmountKrw
    payment_method: PaymentMethod = PaymentMethod.WALLET


class StockWaitlisted(SagaEvent, frozen=True, kw_only=True):
    """The order waits in the queue for stock. `position` counts from 1."""

    position: Counter


class PaymentCompleted(SagaEvent, frozen=True, kw_only=True):
    """The money was captured: from here on the order is sold. `amount` may be 0."""

    decides: ClassVar[str | None] = "payment"

    payment_id: Id
    customer_id: Id
    method: PaymentMethod
    amount: AmountKrw
    discount_amount: AmountKrw


class OrderCompleted(SagaEvent, frozen=True, kw_only=True):
    final: ClassVar[bool] = True
    decides: ClassVar[str | None] = "order"

    customer_id: Id
    items: tuple[Line, ...]
    total_amount: AmountKrw
    discount_amount: AmountKrw
    payable_amount: AmountKrw
    completed_at: datetime


# ---------------------------------------------------------------- a step that fails


class CouponRejected(SagaEvent, frozen=True, kw_only=True):
    part: ClassVar[Part] = Part.FAILURE
    failure: ClassVar[bool] = True
    decides: ClassVar[str | None] = "coupon"

    reason: FailReason


class StockUnavailable(SagaEvent, frozen=True, kw_only=True):
    """`product_id` is the first line that could not be served."""

    part: ClassVar[Part] = Part.FAILURE
    failure: ClassVar[bool] = True
    decides: ClassVar[str | None] = "stock"

    reason: FailReason
    product_id: Id


class PaymentFailed(SagaEvent, frozen=True, kw_only=True):
    part: ClassVar[Part] = Part.FAILURE
    failure: ClassVar[bool] = True
    decides: ClassVar[str | None] = "payment"

    reason: FailReason


class OrderFailed(SagaEvent, frozen=True, kw_only=True):
    part: ClassVar[Part] = Part.FAILURE
    final: ClassVar[bool] = True
    decides: ClassVar[str | None] = "order"

    customer_id: Id
    reason: FailReason


# ---------------------------------------------------------------- time-out and cancel


class OrderTimedOut(SagaEvent, frozen=True, kw_only=True):
    """Asks payment to decide now. A payment that was made already stands."""

    part: ClassVar[Part] = Part.REQUEST

    customer_id: Id
    payment_method: PaymentMethod


class OrderCancelRequested(SagaEvent, frozen=True, kw_only=True):
    """The customer cancels a completed order. `attempt` counts from 1."""

    part: ClassVar[Part] = Part.REQUEST

    attempt: Counter

    @property
    def occurrence(self) -> int:
        return self.attempt


class PaymentRefunded(SagaEvent, frozen=True, kw_only=True):
    part: ClassVar[Part] = Part.REQUEST
    failure: ClassVar[bool] = True

    payment_id: Id
    amount: AmountKrw
    attempt: Counter

    @property
    def decision(self) -> str:
        return f"refund/{self.attempt}"


class PaymentRefundFailed(SagaEvent, frozen=True, kw_only=True):
    """The refund was refused: the order stays COMPLETED."""

    part: ClassVar[Part] = Part.REQUEST
    decides: ClassVar[str | None] = "refund"

    attempt: Counter

    @property
    def occurrence(self) -> int:
        return self.attempt


class OrderCancelled(SagaEvent, frozen=True, kw_only=True):
    part: ClassVar[Part] = Part.REQUEST
    final: ClassVar[bool] = True

    customer_id: Id
    items: tuple[Line, ...]
    completed_at: datetime


# ---------------------------------------------------------------- what was undone


class StockRestored(SagaEvent, frozen=True, kw_only=True):
    """What the order held is available again."""

    part: ClassVar[Part] = Part.UNDONE

    items: tuple[Line, ...]


class CouponRestored(SagaEvent, frozen=True, kw_only=True):
    """The coupon can be used again. Emitted without a coupon too: it ends the compensation."""

    part: ClassVar[Part] = Part.UNDONE

    coupon_id: Id | None = None


# ---------------------------------------------------------------- the catalogue


class ProductChanged(Event, frozen=True, kw_only=True):
    """The whole product as it is now. `version` grows by one with each change.

    The amount in stock stays inside the product service; others may show whether there is any.
    """

    stream: ClassVar[Stream] = CATALOG

    product_id: Id
    version: Counter
    name: str
    price: AmountKrw
    status: ProductStatus
    sold_out: bool = False

    @property
    def key(self) -> str:
        return self.product_id

    @property
    def occurrence(self) -> int:
        return self.version


# ---------------------------------------------------------------- users


class UserEvent(Event, frozen=True, kw_only=True):
    """A fact about a user, by the id alone: nothing personal is in this stream."""

    stream: ClassVar[Stream] = USERS

    user_id: Id

    @property
    def key(self) -> str:
        return self.user_id


class UserRegistered(UserEvent, frozen=True, kw_only=True):
    """A customer has signed up."""


class UserErased(UserEvent, frozen=True, kw_only=True):
    """The user's account and personal data are gone. The others erase their copies."""


class ShippingAddressesErased(UserEvent, frozen=True, kw_only=True):
    """Orders keep no address of this user any more, and none is stored again."""


class SigningKeyPublished(Event, frozen=True, kw_only=True):
    """The public half of a key that signs access tokens: Ed25519, the `x` of a JSON Web Key.

    No token of it is valid after `trusted_until`.
    """

    stream: ClassVar[Stream] = KEYS
    final: ClassVar[bool] = True

    key_id: Id
    public_key: str
    trusted_until: datetime

    @property
    def key(self) -> str:
        return self.key_id


# ---------------------------------------------------------------- personal data


class AddressChanged(Event, frozen=True, kw_only=True):
    """An address of a user as it is now. `version` grows by one with each change.

    `label`, `address` and `is_default` are None in the version that deletes it.
    """

    stream: ClassVar[Stream] = PERSONAL

    user_id: Id
    address_id: Id
    version: Counter
    label: Annotated[str | None, Personal("The user's name for the address.")] = None
    address: Address | None = None
    is_default: bool | None = None

    @property
    def key(self) -> str:
        return self.user_id

    @property
    def entry(self) -> str:
        return self.address_id

    @property
    def occurrence(self) -> int:
        return self.version


class ShippingAddressGiven(Event, frozen=True, kw_only=True):
    """Where an order is shipped to. It stays so when the customer changes the address."""

    stream: ClassVar[Stream] = PERSONAL
    final: ClassVar[bool] = True

    customer_id: Id
    order_id: Id
    address: Address

    @property
    def key(self) -> str:
        return self.customer_id

    @property
    def entry(self) -> str:
        return self.order_id


CONTRACT = Contract(
    OrderCreated,
    CouponUsed,
    CouponRejected,
    StockDecremented,
    StockWaitlisted,
    StockUnavailable,
    PaymentCompleted,
    PaymentFailed,
    OrderTimedOut,
    OrderCancelRequested,
    PaymentRefunded,
    PaymentRefundFailed,
    StockRestored,
    CouponRestored,
    OrderCompleted,
    OrderFailed,
    OrderCancelled,
    ProductChanged,
    UserRegistered,
    UserErased,
    ShippingAddressesErased,
    SigningKeyPublished,
    AddressChanged,
    ShippingAddressGiven,
)
"""Every event by its name, which is also the last token of its subject."""
