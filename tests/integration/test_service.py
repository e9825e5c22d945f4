"""What a service does with a delivery before its batch is committed: keep it."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

from chassis.processing.messages import EventMessage
from chassis.service import Service
from events.contract import FailReason, PaymentFailed
from saga import envelope
from tests.integration.deliveries import Delivered

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


async def test_what_comes_in_is_not_acknowledged_before_it_is_committed() -> None:
    waiting: list[EventMessage] = []
    service = SimpleNamespace(_held=set(), mailbox=SimpleNamespace(put=waiting.append))
    event = PaymentFailed(order_id=str(uuid4()), reason=FailReason.SYSTEM_ERROR)
    delivery = Delivered(envelope.encode(event, NOW))
    await Service._receive(cast("Service[Any]", service), delivery)
    assert [received.delivery for received in waiting] == [delivery]
    assert service._held == set(waiting)
    assert delivery.acknowledged == 0
