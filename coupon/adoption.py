"""How the coupon service adopts what it had published before its database was restored."""

from coupon.domain import Hold, HoldState
from coupon.unit_of_work import CouponUnitOfWork
from events.contract import CONTRACT, CouponRejected, CouponRestored, CouponUsed
from saga.adoption import Adoptions

adoptions = Adoptions(CONTRACT)


@adoptions.rule
def adopt_used(event: CouponUsed, uow: CouponUnitOfWork) -> str | None:
    """The order holds its coupon, even one that the restored database does not know."""
    if event.order_id in uow.holds:
        return None
    uow.holds[event.order_id] = Hold(
        order_id=event.order_id,
        state=HoldState.HELD,
        issued_coupon_id=event.coupon_id,
        discount_amount=event.discount_amount,
        updated_at=uow.now,
    )
    if event.coupon_id is None:
        return None
    coupon = uow.issued.get(event.coupon_id)
    if coupon is None:
        return f"coupon {event.coupon_id} of customer {event.customer_id} is not in the backup"
    if coupon.used_at is not None and coupon.used_at > uow.now:
        return None  # another order has used it since: this one has given it back
    uow.issued[event.coupon_id] = coupon.use(event.order_id, uow.now)
    if coupon.order_id is not None:
        return f"coupon {event.coupon_id} was held by order {coupon.order_id} in the backup"
    return None


@adoptions.rule
def adopt_rejected(event: CouponRejected, uow: CouponUnitOfWork) -> str | None:
    """The order was refused its coupon."""
    if event.order_id not in uow.holds:
        uow.record(event.order_id, HoldState.REFUSED)
    return None


@adoptions.rule
def adopt_restored(event: CouponRestored, uow: CouponUnitOfWork) -> str | None:
    """The coupon can be used again, unless another order has it."""
    hold = uow.holds.get(event.order_id)
    if hold is None:
        uow.record(event.order_id, HoldState.RELEASED)
    elif hold.state is not HoldState.RELEASED:
        uow.give_back(hold)
    return None
