"""What the reactions and commands of the data platform's sender work on."""

from datetime import datetime, timedelta

import msgspec

from dataplatform.domain import CompletedOrder, Delivery, DeliveryState
from events.contract import OrderCompleted
from saga.unit_of_work import Rows, UnitOfWork


class DeliveryUnitOfWork(UnitOfWork):
    """The rows of a batch."""

    def __init__(self, now: datetime, deliveries: Rows[str, Delivery]) -> None:
        super().__init__(now, deliveries)
        self.deliveries = deliveries

    def record(self, event: OrderCompleted) -> None:
        """Put an order's delivery; it is due at once."""
        body = {name: getattr(event, name) for name in CompletedOrder.__struct_fields__}
        self.deliveries[event.order_id] = Delivery(
            order_id=event.order_id,
            state=DeliveryState.PENDING,
            body=CompletedOrder(**body),
            attempts=0,
            last_error=None,
            created_at=self.now,
            updated_at=self.now,
            next_at=self.now,
            sent_at=None,
        )

    def pending(self, order_id: str) -> Delivery | None:
        """The order's delivery, if it is not sent yet."""
        delivery = self.deliveries.get(order_id)
        return delivery if delivery and delivery.state is DeliveryState.PENDING else None

    def change(self, delivery: Delivery, **changes: object) -> None:
        changed = msgspec.structs.replace(delivery, updated_at=self.now, **changes)
        self.deliveries[delivery.order_id] = changed

    def after(self, seconds: float) -> datetime:
        return self.now + timedelta(seconds=seconds)
