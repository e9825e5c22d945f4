"""What the coupon service does for each event and command."""

import msgspec

from coupon.adoption import adoptions
from coupon.commands import (
    BookIssued,
    ChangeCoupon,
    DefineCoupon,
    IssueCoupon,
    RevokeIssued,
    already_issued,
    no_coupon,
    no_issued_coupon,
)
from coupon.domain import Coupon, HoldState, IssuedCoupon, deciding_time
from coupon.unit_of_work import CouponUnitOfWork
from events.contract import (
    CONTRACT,
    KEYS,
    CouponRejected,
    CouponRestored,
    CouponUsed,
    FailReason,
    OrderCreated,
    PaymentCompleted,
    PaymentFailed,
    StockRestored,
    StockUnavailable,
)
from saga.reactions import Reactions

reactions = Reactions("coupon", CONTRACT, adoptions, follows={KEYS})


@reactions.on
def use_coupon(event: OrderCreated, uow: CouponUnitOfWork) -> CouponUsed | CouponRejected | None:
    """Use the order's coupon, or refuse it; without a coupon the discount is 0.

    A coupon that was valid when the order was accepted is honoured, as the order's prices are.
    """
    if event.order_id in uow.holds:
        return None
    if event.coupon_id is None:
        uow.record(event.order_id, HoldState.HELD)
        return _used_event(event, 0)
    coupon = uow.issued.get(event.coupon_id)
    at = deciding_time(event.accepted_at, uow.now)
    reason = (
        FailReason.COUPON_NOT_FOUND
        if coupon is None
        else coupon.objection(event.customer_id, event.total_amount, at)
    )
    if coupon is None or reason is not None:
        uow.record(event.order_id, HoldState.REFUSED)
        return CouponRejected(order_id=event.order_id, reason=reason or FailReason.COUPON_NOT_FOUND)
    discount = coupon.discount(event.total_amount)
    uow.record(event.order_id, HoldState.HELD, coupon, discount)
    return _used_event(event, discount)


@reactions.on
def settle(event: PaymentCompleted, uow: CouponUnitOfWork) -> None:
    """The order is paid: its coupon stays used."""
    hold = uow.holds.get(event.order_id)
    if hold is not None and hold.state is HoldState.HELD:
        uow.holds[event.order_id] = hold.move_to(HoldState.SETTLED, uow.now)


@reactions.compensation
def release(
    event: PaymentFailed | StockUnavailable | StockRestored, uow: CouponUnitOfWork
) -> CouponRestored | None:
    """The order failed or was cancelled: its coupon can be used again."""
    hold = uow.holds.get(event.order_id)
    if hold is None:
        uow.record(event.order_id, HoldState.RELEASED)  # a tombstone, for a late OrderCreated
        return None
    if hold.state not in (HoldState.HELD, HoldState.SETTLED):
        return None
    uow.give_back(hold)
    return CouponRestored(order_id=event.order_id, coupon_id=hold.issued_coupon_id)


@reactions.command
def define_coupon(command: DefineCoupon, uow: CouponUnitOfWork) -> Coupon:
    """Define a coupon that can be issued."""
    coupon = Coupon(
        coupon_id=command.coupon_id,
        name=command.name,
        discount_type=command.discount_type,
        discount_value=command.discount_value,
        min_order_amount=command.min_order_amount,
        quantity=command.quantity,
        issued=0,
        valid_from=command.valid_from,
        valid_until=command.valid_until,
        created_at=uow.now,
    )
    coupon.check_new(uow.now)
    uow.coupons[coupon.coupon_id] = coupon
    return coupon


@reactions.command
def change_coupon(command: ChangeCoupon, uow: CouponUnitOfWork) -> Coupon:
    """Change what a definition issues from now on, or stop it."""
    coupon = uow.coupons.get(command.coupon_id)
    if coupon is None:
        raise no_coupon(command.coupon_id)
    changed = msgspec.structs.replace(coupon, **command.changes())
    changed.check()
    uow.coupons[coupon.coupon_id] = changed
    return changed


@reactions.command
def revoke_issued(command: RevokeIssued, uow: CouponUnitOfWork) -> IssuedCoupon:
    """Revoke a coupon that no order uses; orders on their way to it fail as COUPON_REVOKED."""
    coupon = uow.issued.get(command.issued_coupon_id)
    if coupon is None:
        raise no_issued_coupon(command.issued_coupon_id)
    revoked = uow.issued[coupon.issued_coupon_id] = coupon.revoke(uow.now)
    return revoked


@reactions.command
def issue_coupon(command: IssueCoupon, uow: CouponUnitOfWork) -> IssuedCoupon:
    """Give a customer one of the coupons; at most one."""
    coupon = uow.coupons.get(command.coupon_id)
    if coupon is None:
        raise no_coupon(command.coupon_id)
    if (command.coupon_id, command.customer_id) in uow.issued_to:
        raise already_issued()
    uow.coupons[coupon.coupon_id] = coupon.issue_one(uow.now)
    issued = coupon.copy_for(command.customer_id, command.issued_coupon_id, uow.now)
    uow.issued[issued.issued_coupon_id] = issued
    uow.issued_to[issued.coupon_id, issued.customer_id] = issued
    return issued


@reactions.command
def book_issued(command: BookIssued, uow: CouponUnitOfWork) -> IssuedCoupon:
    """Book a coupon that was issued after the backup, with the order that holds it."""
    if command.issued_coupon_id in uow.issued:
        return uow.issued[command.issued_coupon_id]
    if command.coupon_id not in uow.coupons and command.definition is not None:
        define_coupon(command.definition, uow)
    coupon = uow.coupons.get(command.coupon_id)
    if coupon is None:
        raise no_coupon(command.coupon_id)
    if (command.coupon_id, command.customer_id) in uow.issued_to:
        raise already_issued()
    uow.coupons[coupon.coupon_id] = coupon.count_issued()
    issued = coupon.copy_for(command.customer_id, command.issued_coupon_id, uow.now)
    holders = (hold for hold in uow.holds.released if hold.holds(issued.issued_coupon_id))
    if holder := next(holders, None):
        issued = issued.use(holder.order_id, uow.now)
    uow.issued[issued.issued_coupon_id] = issued
    uow.issued_to[issued.coupon_id, issued.customer_id] = issued
    return issued


def _used_event(event: OrderCreated, discount: int) -> CouponUsed:
    return CouponUsed(
        order_id=event.order_id,
        customer_id=event.customer_id,
        items=event.items,
        total_amount=event.total_amount,
        discount_amount=discount,
        payable_amount=event.total_amount - discount,
        coupon_id=event.coupon_id,
        payment_method=event.payment_method,
        on_shortage=event.on_shortage,
    )
