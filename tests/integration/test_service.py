"""What a service does with a delivery before its batch is committed: keep it."""

from datetime import UTC, datetime
from uuid import uuid4

from chassis.ports import REAL
from chassis.service import Service
from events.contract import FailReason, PaymentFailed
from order.app import participant
from saga import envelope
from tests.integration.deliveries import Delivered
from tests.kit.settings import settings_of

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


async def test_a_delivery_is_not_acknowledged_before_it_is_committed(database_url: str) -> None:
    settings = settings_of("order", {"ORDER_DATABASE_URL": database_url})
    service = Service(participant, settings, REAL)
    event = PaymentFailed(order_id=str(uuid4()), reason=FailReason.SYSTEM_ERROR)
    delivery = Delivered(envelope.encode(event, NOW))

    service.receive(delivery)

    assert len(service.mailbox) == 1
    assert delivery.acknowledged == 0
    await service.database.close()
