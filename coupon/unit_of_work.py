"""What the reactions and commands of the coupon service work on."""

from datetime import datetime

from coupon.domain import Coupon, Hold, HoldState, IssuedCoupon
from saga.unit_of_work import Rows, UnitOfWork


class CouponUnitOfWork(UnitOfWork):
    """The rows of a batch. `issued_to` has the issued coupons by coupon and customer."""

    def __init__(
        self,
        now: datetime,
        holds: Rows[str, Hold],
        coupons: Rows[str, Coupon],
        issued: Rows[str, IssuedCoupon],
        issued_to: Rows[tuple[str, str], IssuedCoupon],
    ) -> None:
        super().__init__(now, holds, coupons, issued, issued_to)
        self.holds = holds
        self.coupons = coupons
        self.issued = issued
        self.issued_to = issued_to

    def record(
        self,
        order_id: str,
        state: HoldState,
        coupon: IssuedCoupon | None = None,
        discount_amount: int = 0,
    ) -> None:
        """Put an order's row; with a coupon, let the order use it."""
        self.holds[order_id] = Hold(
            order_id=order_id,
            state=state,
            issued_coupon_id=coupon.issued_coupon_id if coupon else None,
            discount_amount=discount_amount,
            updated_at=self.now,
        )
        if coupon is not None:
            self.issued[coupon.issued_coupon_id] = coupon.use(order_id, self.now)

    def give_back(self, hold: Hold) -> None:
        """Make the order's coupon usable again, but only if no other order has it."""
        self.holds[hold.order_id] = hold.move_to(HoldState.RELEASED, self.now)
        coupon = self.issued.get(hold.issued_coupon_id) if hold.issued_coupon_id else None
        if coupon is not None and coupon.order_id == hold.order_id:
            self.issued[coupon.issued_coupon_id] = coupon.give_back()
