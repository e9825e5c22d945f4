"""The product service over HTTP."""

from litestar.di import NamedDependency

from chassis.service import Service
from chassis.web.access import Access
from events.roles import Role
from product.unit_of_work import ProductUnitOfWork

ProductService = NamedDependency[Service[ProductUnitOfWork]]
"""The service, as every route has it injected."""

SHOPKEEPERS = Access("shopkeepers", frozenset({Role.SHOPKEEPER}))
"""A guard (`chassis.web.access`)."""
