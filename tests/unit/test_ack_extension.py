"""The acknowledgement deadline of a message that takes long is extended until it is committed."""

import asyncio
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from chassis.processing import ack_extension
from chassis.processing.ack_extension import AckExtension
from chassis.processing.messages import EventMessage
from events.contract import CONTRACT, FailReason, PaymentFailed
from saga import envelope
from tests.integration.deliveries import Delivered
from tests.kit.client import wait_until

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


def delivered() -> Delivered:
    event = PaymentFailed(order_id=str(uuid4()), reason=FailReason.SYSTEM_ERROR)
    return Delivered(envelope.encode(event, NOW))


async def test_deadline_is_extended_until_the_message_is_committed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ack_extension, "ACK_WAIT_SECONDS", 0.03)
    extension = AckExtension()
    slow, committed = delivered(), delivered()
    messages = [EventMessage(each, CONTRACT) for each in (slow, committed)]
    for message in messages:
        extension.watch(message)
    running = asyncio.create_task(extension.run())

    async def extended_twice() -> bool:
        return min(slow.heartbeats, committed.heartbeats) >= 2

    await wait_until(extended_twice, "both deadlines are extended")
    extension.forget(messages[1])
    before, so_far = committed.heartbeats, slow.heartbeats

    async def extended_again() -> bool:
        return slow.heartbeats >= so_far + 2

    await wait_until(extended_again, "the slow message's deadline is extended again")
    running.cancel()
    assert committed.heartbeats == before
