"""What the data platform's sender does for each event and command. It emits no event."""

from dataplatform.commands import DeliveryAccepted, DeliveryFailed, Send
from dataplatform.domain import LEASE_SECONDS, MAX_PAUSE_SECONDS, DeliveryState
from dataplatform.unit_of_work import DeliveryUnitOfWork
from events.contract import CONTRACT, KEYS, OrderCompleted
from saga.reactions import Reactions

reactions = Reactions("dataplatform", CONTRACT, follows={KEYS})


@reactions.on
def record(event: OrderCompleted, uow: DeliveryUnitOfWork) -> None:
    """Store a delivery for the order; it is sent after the commit."""
    if event.order_id not in uow.deliveries:
        uow.record(event)


@reactions.command
def send(command: Send, uow: DeliveryUnitOfWork) -> None:
    """Lease a delivery that is still due, and send it after the commit."""
    delivery = uow.pending(command.order_id)
    if delivery is not None and delivery.is_due(uow.now):
        uow.change(delivery, attempts=delivery.attempts + 1, next_at=uow.after(LEASE_SECONDS))
        uow.external_calls.add(delivery.body)


@reactions.command
def mark_sent(command: DeliveryAccepted, uow: DeliveryUnitOfWork) -> None:
    """The platform has accepted the delivery. Idempotent."""
    delivery = uow.pending(command.order_id)
    if delivery is not None:
        sent = DeliveryState.SENT
        uow.change(delivery, state=sent, last_error=None, next_at=None, sent_at=uow.now)


@reactions.command
def postpone(command: DeliveryFailed, uow: DeliveryUnitOfWork) -> None:
    """Retry later: after the delivery's own pause or the platform's, whichever is longer."""
    delivery = uow.pending(command.order_id)
    if delivery is not None:
        requested = min(command.wait_seconds, MAX_PAUSE_SECONDS)
        next_at = uow.after(max(delivery.pause_seconds, requested))
        uow.change(delivery, last_error=command.error, next_at=next_at)
