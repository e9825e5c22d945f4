"""What the data platform's sender does when an order has completed. It says nothing to anybody."""

from dataplatform.domain import (
    LEASE_SECONDS,
    MAX_PAUSE_SECONDS,
    Deliveries,
    DeliveryAccepted,
    DeliveryFailed,
    DeliveryState,
    Send,
)
from events.contract import CONTRACT, OrderCompleted
from saga.reactions import Reactions

reactions = Reactions("dataplatform", CONTRACT)


@reactions.on
def record(event: OrderCompleted, deliveries: Deliveries) -> None:
    """Write down what the data platform is owed; it is sent after the commit."""
    if event.order_id not in deliveries.rows:
        deliveries.record(event)


@reactions.command
def send(command: Send, deliveries: Deliveries) -> None:
    """Take a delivery in hand, if it is still due: for a while nobody else does."""
    delivery = deliveries.pending(command.order_id)
    if delivery is not None and delivery.is_due(deliveries.now):
        lease_ends = deliveries.after(LEASE_SECONDS)
        deliveries.move(delivery, attempts=delivery.attempts + 1, next_at=lease_ends)
        deliveries.external_calls.add(delivery.body)


@reactions.command
def settle(command: DeliveryAccepted, deliveries: Deliveries) -> None:
    """The platform has accepted it. Heard twice, it acts once."""
    delivery = deliveries.pending(command.order_id)
    if delivery is not None:
        sent = DeliveryState.SENT
        deliveries.move(delivery, state=sent, last_error=None, next_at=None, sent_at=deliveries.now)


@reactions.command
def put_off(command: DeliveryFailed, deliveries: Deliveries) -> None:
    """Try it again later: after its own pause, or the platform's, whichever is longer."""
    delivery = deliveries.pending(command.order_id)
    if delivery is not None:
        asked_for = min(command.wait_seconds, MAX_PAUSE_SECONDS)
        next_at = deliveries.after(max(delivery.pause_seconds, asked_for))
        deliveries.move(delivery, last_error=command.error, next_at=next_at)
