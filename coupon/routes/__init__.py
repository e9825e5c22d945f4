"""The coupon service's HTTP routes."""

from litestar.di import NamedDependency

from chassis.service import Service
from chassis.web.access import Access
from coupon.unit_of_work import CouponUnitOfWork
from events.roles import Role

CouponService = NamedDependency[Service[CouponUnitOfWork]]
"""The service, as every route has it injected."""

SHOPKEEPERS = Access("shopkeepers", frozenset({Role.SHOPKEEPER}))
"""A guard (`chassis.web.access`)."""
