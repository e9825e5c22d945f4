"""What the coupon service does when it hears an event or is asked for something."""

from coupon.domain import (
    Coupon,
    Coupons,
    DefineCoupon,
    HoldState,
    IssueCoupon,
    IssuedCoupon,
    no_coupon,
)
from events.contract import (
    CONTRACT,
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
from saga.errors import Conflict
from saga.reactions import Reactions

reactions = Reactions("coupon", CONTRACT)


@reactions.on
def use_coupon(event: OrderCreated, coupons: Coupons) -> CouponUsed | CouponRejected | None:
    """Spend the order's coupon on it, or refuse it. Without a coupon the discount is 0."""
    if event.order_id in coupons.holds:
        return None
    if event.coupon_id is None:
        coupons.record(event.order_id, HoldState.HELD)
        return _used(event, 0)
    coupon = coupons.issued.get(event.coupon_id)
    reason = (
        FailReason.COUPON_NOT_FOUND
        if coupon is None
        else coupon.objection(event.customer_id, event.total_amount, coupons.now)
    )
    if coupon is None or reason is not None:
        coupons.record(event.order_id, HoldState.REFUSED)
        return CouponRejected(order_id=event.order_id, reason=reason or FailReason.COUPON_NOT_FOUND)
    discount = coupon.discount(event.total_amount)
    coupons.record(event.order_id, HoldState.HELD, coupon, discount)
    return _used(event, discount)


@reactions.on
def settle(event: PaymentCompleted, coupons: Coupons) -> None:
    """The order is paid: its coupon stays spent."""
    hold = coupons.holds.get(event.order_id)
    if hold is not None and hold.state is HoldState.HELD:
        coupons.holds[event.order_id] = hold.moved(HoldState.SETTLED, coupons.now)


@reactions.compensation
def release(
    event: PaymentFailed | StockUnavailable | StockRestored, coupons: Coupons
) -> CouponRestored | None:
    """The order came to nothing: its coupon can be used again."""
    hold = coupons.holds.get(event.order_id)
    if hold is None:
        coupons.record(event.order_id, HoldState.RELEASED)  # a late OrderCreated finds it dead
        return None
    if hold.state not in (HoldState.HELD, HoldState.SETTLED):
        return None
    coupons.give_back(hold)
    return CouponRestored(order_id=event.order_id, coupon_id=hold.issued_coupon_id)


@reactions.command
def define_coupon(command: DefineCoupon, coupons: Coupons) -> Coupon:
    """Define a coupon that can be issued."""
    command.check()
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
        created_at=coupons.now,
    )
    coupons.coupons[coupon.coupon_id] = coupon
    return coupon


@reactions.command
def issue_coupon(command: IssueCoupon, coupons: Coupons) -> IssuedCoupon:
    """Give a customer one of the coupons, one at the most."""
    coupon = coupons.coupons.get(command.coupon_id)
    if coupon is None:
        raise no_coupon(command.coupon_id)
    if (command.coupon_id, command.customer_id) in coupons.issued_to:
        raise Conflict("this customer has the coupon already", code="COUPON_ALREADY_ISSUED")
    coupons.coupons[coupon.coupon_id] = coupon.issue_one(coupons.now)
    issued = coupon.issued_as(command, coupons.now)
    coupons.issued[issued.issued_coupon_id] = issued
    coupons.issued_to[issued.coupon_id, issued.customer_id] = issued
    return issued


def _used(event: OrderCreated, discount: int) -> CouponUsed:
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
