"""The payment service's HTTP routes."""

from litestar.di import NamedDependency

from chassis.service import Service
from payment.unit_of_work import PaymentUnitOfWork

PaymentService = NamedDependency[Service[PaymentUnitOfWork]]
"""The service, as every route has it injected."""
