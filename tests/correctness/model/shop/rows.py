"""The rows of the shop's services, and how they become units of work.

The catalogue is left out: no order's way depends on it.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from coupon.domain import HoldState as CouponState
from coupon.unit_of_work import CouponUnitOfWork
from order.domain import OrderState
from order.unit_of_work import OrderUnitOfWork
from payment.domain import PaymentState
from payment.unit_of_work import PaymentUnitOfWork
from product.domain import HoldState as StockState
from product.domain import Product
from product.queues import Queues
from product.unit_of_work import ProductUnitOfWork
from saga.unit_of_work import Ledger, Rows
from tests.correctness.model.description import NOW, ServiceModel
from user.domain import SETTLE, User, UserState
from user.unit_of_work import UserUnitOfWork

Entry = tuple[str, str | None, int]
"""Whose row was booked, for which order, by how much. The sequence shows in the balance."""


def _order(
    now: datetime, orders: Any, recipients: Any, addresses: Any, shipping: Any
) -> OrderUnitOfWork:
    return OrderUnitOfWork(now, orders, Rows(), Rows(), recipients, addresses, shipping)


def _coupon(now: datetime, holds: Any, issued: Any) -> CouponUnitOfWork:
    return CouponUnitOfWork(now, holds, Rows(), issued, Rows())


def _product(now: datetime, holds: Any, products: Any, queues: Any) -> ProductUnitOfWork:
    places = {(place.product_id, place.order_id): place for place in queues.loaded}
    return ProductUnitOfWork(now, holds, products, Rows(), Ledger(), Queues(places))


def _payment(now: datetime, wallets: Any, payments: Any) -> PaymentUnitOfWork:
    return PaymentUnitOfWork(now, wallets, payments, Rows(), Ledger())


def _user(now: datetime, users: Any, addresses: Any) -> UserUnitOfWork:
    by_email = Rows({user.email: user for user in users.loaded})
    return UserUnitOfWork(now, users, by_email, Rows(), Rows(), addresses)


def _bookings(uow: ProductUnitOfWork) -> Iterator[Entry]:
    return ((entry.product_id, entry.order_id, entry.delta) for entry in uow.ledger)


def _entries(uow: PaymentUnitOfWork) -> Iterator[Entry]:
    return ((entry.customer_id, entry.order_id, entry.delta) for entry in uow.ledger)


def _without_version(row: Any) -> Any:
    """How often a product sold out is no part of the saga."""
    return msgspec.structs.replace(row, version=1) if isinstance(row, Product) else row


def _due_now(row: Any) -> Any:
    """What is due later may be due at once: the model tries every moment."""
    if getattr(row, "retry_at", None) is None:
        return row
    return msgspec.structs.replace(row, retry_at=NOW)


def _purged_long_ago(row: Any) -> Any:
    """The time after the first purge may be over at once."""
    is_purging = isinstance(row, User) and row.state is UserState.PURGING
    return msgspec.structs.replace(row, updated_at=NOW - SETTLE) if is_purging else row


# The states are written out once more: one that is left out in a service would never be
# retransmitted.
SERVICES = {
    "order": ServiceModel(
        tables=("orders", "recipients", "addresses", "shipping"),
        unit_of_work=_order,
        saga_rows="orders",
        unsettled=frozenset(
            {
                OrderState.PENDING,
                OrderState.EXPIRING,
                OrderState.WAITING,
                OrderState.WAIT_EXPIRING,
                OrderState.CANCELLING,
            }
        ),
        personal={"addresses": "customer_id", "shipping": "customer_id"},
    ),
    "coupon": ServiceModel(
        tables=("holds", "issued"),
        unit_of_work=_coupon,
        saga_rows="holds",
        unsettled=frozenset({CouponState.HELD}),
    ),
    "product": ServiceModel(
        tables=("holds", "products", "queues"),
        unit_of_work=_product,
        saga_rows="holds",
        unsettled=frozenset({StockState.WAITING, StockState.HELD}),
        entries=_bookings,
        timeless=_without_version,
    ),
    "payment": ServiceModel(
        tables=("wallets", "payments"),
        unit_of_work=_payment,
        saga_rows="payments",
        unsettled=frozenset({PaymentState.INTENT, PaymentState.REFUNDING}),
        entries=_entries,
        timeless=_due_now,
    ),
    "user": ServiceModel(
        tables=("users", "addresses"),
        unit_of_work=_user,
        saga_rows="users",
        unsettled=frozenset({UserState.ERASING, UserState.PURGING}),
        timeless=_purged_long_ago,
        personal={"addresses": "user_id"},
    ),
}
