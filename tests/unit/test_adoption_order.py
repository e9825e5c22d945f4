"""A restored service adopts its events in whatever order the stream has them.

After a loss of the broker's store they were published again, in any order.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import permutations

from coupon.reactions import reactions as coupons
from coupon.unit_of_work import CouponUnitOfWork
from events.contract import (
    Address,
    AddressChanged,
    CouponRestored,
    CouponUsed,
    OrderCancelled,
    OrderCancelRequested,
    OrderCompleted,
    OrderCreated,
    PaymentCompleted,
    PaymentMethod,
    PaymentRefunded,
    PaymentRefundFailed,
    ShippingAddressGiven,
)
from order.addresses import Recipient
from order.reactions import reactions as orders
from order.unit_of_work import OrderUnitOfWork
from payment.domain import Wallet
from payment.reactions import reactions as payments
from payment.unit_of_work import PaymentUnitOfWork
from saga.adoption import CannotAdopt
from saga.event import Event
from saga.reactions import Reactions
from saga.unit_of_work import Erased, Ledger, Rows, UnitOfWork
from tests.unit import order_fixtures, test_coupon_domain
from user.domain import erased_user
from user.reactions import reactions as users
from user.unit_of_work import UserUnitOfWork

NOW = order_fixtures.NOW
LINES = test_coupon_domain.LINES
PERSON = "b0b0b0b0-0000-4000-8000-000000000001"
CUSTOMER, COUPON = "c", test_coupon_domain.PLAIN.issued_coupon_id

PAID = PaymentCompleted(
    order_id="o1",
    payment_id="p1",
    customer_id=CUSTOMER,
    method=PaymentMethod.WALLET,
    amount=60,
    discount_amount=5,
)
PAYMENT = (
    PAID,
    PaymentRefundFailed(order_id="o1", attempt=1),
    PaymentRefunded(order_id="o1", payment_id="p1", amount=60, attempt=2),
)
ORDER = (
    OrderCreated(order_id="o1", customer_id=CUSTOMER, items=LINES, total_amount=65, coupon_id=None),
    OrderCompleted(
        order_id="o1",
        customer_id=CUSTOMER,
        items=LINES,
        total_amount=65,
        discount_amount=5,
        payable_amount=60,
        completed_at=NOW,
    ),
    OrderCancelRequested(order_id="o1", attempt=1),
    OrderCancelRequested(order_id="o1", attempt=2),
    OrderCancelled(order_id="o1", customer_id=CUSTOMER, items=LINES, completed_at=NOW),
)


def used(order_id: str) -> CouponUsed:
    return CouponUsed(
        order_id=order_id,
        customer_id=CUSTOMER,
        items=LINES,
        total_amount=60,
        discount_amount=10,
        payable_amount=50,
        coupon_id=COUPON,
    )


COUPONS = (used("o1"), CouponRestored(order_id="o1", coupon_id=COUPON), used("o2"))
"""One coupon, which two orders use one after the other."""


def adopt(reactions: Reactions, uow: UnitOfWork, events: Iterable[tuple[datetime, Event]]) -> None:
    """As recovery does: what needs another event is adopted after the others."""
    left = list(events)
    while left:
        before, left = left, []
        for at, event in before:
            uow.now = at
            try:
                reactions.adoptions.adopt(event, uow, None)
            except CannotAdopt:
                uow.roll_back()
                left.append((at, event))
            uow.release()
        assert len(left) < len(before)


def any_order(events: Iterable[Event]) -> Iterable[tuple[tuple[datetime, Event], ...]]:
    """Each event with the time at which it was published, a second after the one before."""
    return permutations((NOW + timedelta(seconds=n), event) for n, event in enumerate(events))


def test_payment_is_refunded_once_in_any_order() -> None:
    for published in any_order(PAYMENT):
        wallet = Wallet(customer_id=CUSTOMER, balance=100, created_at=NOW, updated_at=NOW)
        uow = PaymentUnitOfWork(NOW, Rows({CUSTOMER: wallet}), Rows(), Rows(), Ledger())
        adopt(payments, uow, published)
        payment = uow.payments["o1"]
        assert (payment.state, payment.attempt) == ("REFUNDED", 2), published
        assert (uow.wallets[CUSTOMER].balance, [e.delta for e in uow.ledger]) == (100, [-60, 60])


def test_order_is_cancelled_in_any_order() -> None:
    for published in any_order(ORDER):
        uow = OrderUnitOfWork(NOW, Rows(), Rows(), Rows())
        adopt(orders, uow, published)
        order = uow.orders["o1"]
        assert (order.state, order.attempt) == ("CANCELLED", 2), published
        assert (order.payable_amount, order.discount_amount, order.completed_at) == (60, 5, NOW)


def test_coupon_belongs_to_its_last_order_in_any_order() -> None:
    for published in any_order(COUPONS):
        uow: CouponUnitOfWork = test_coupon_domain.unit_of_work(test_coupon_domain.PLAIN)
        adopt(coupons, uow, published)
        assert (uow.holds["o1"].state, uow.holds["o2"].state) == ("RELEASED", "HELD"), published
        assert uow.issued[COUPON].order_id == "o2", published


def test_address_of_an_erased_person_is_erased_once_more() -> None:
    """The stream is purged after the erasure, and a service may be restored in between."""
    address = Address(street="1 Road", postal_code="1", city="Seoul")
    order_uow = OrderUnitOfWork(NOW, Rows(), Rows(), Rows())
    order_uow.recipients[PERSON] = Recipient(customer_id=PERSON, created_at=NOW, erased_at=NOW)
    given = ShippingAddressGiven(customer_id=PERSON, order_id="o1", address=address)
    orders.adoptions.adopt(given, order_uow, None)
    order_uow.release()
    assert ([*order_uow.erased], "o1" in order_uow.shipping) == ([Erased(PERSON)], False)

    user_uow = UserUnitOfWork(NOW, Rows(), Rows(), Rows(), Rows())
    user_uow.put(erased_user(PERSON, NOW, NOW))
    changed = AddressChanged(user_id=PERSON, address_id="a1", version=1, address=address)
    users.adoptions.adopt(changed, user_uow, None)
    user_uow.release()
    assert ([*user_uow.erased], "a1" in user_uow.addresses) == ([Erased(PERSON)], False)
