"""Alarms of the payment service: faults that it corrects itself and operators should know of."""

import logging

from prometheus_client import Counter

from chassis.components import Component
from payment.unit_of_work import PaymentUnitOfWork

log = logging.getLogger(__name__)

_orphaned_captures = Counter(
    "payment_orphaned_captures_total", "Captures of payments that had failed; they are refunded."
)


class OrphanedCaptureAlarm(Component[PaymentUnitOfWork]):
    """Raised when money was captured for a payment that had FAILED."""

    def committed(self, uow: PaymentUnitOfWork, /) -> None:
        for payment in uow.orphaned_captures:
            _orphaned_captures.inc()
            log.error(
                "money was captured for a payment that had failed; it is refunded",
                extra={"orderId": payment.order_id, "amount": payment.amount},
            )
