"""The coupon service's HTTP routes."""

from litestar.di import NamedDependency

from chassis.service import Service
from coupon.unit_of_work import CouponUnitOfWork

CouponService = NamedDependency[Service[CouponUnitOfWork]]
"""The service, as every route has it injected."""
