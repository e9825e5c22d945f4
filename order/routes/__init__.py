"""The order service over HTTP."""

from litestar.di import NamedDependency

from chassis.service import Service
from order.unit_of_work import OrderUnitOfWork

OrderService = NamedDependency[Service[OrderUnitOfWork]]
"""The service, as every route has it injected."""
