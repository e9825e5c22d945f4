"""Deliveries to the data platform: leases, outcomes and pauses."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from dataplatform.commands import DeliveryAccepted, DeliveryFailed, Send
from dataplatform.domain import (
    LEASE_SECONDS,
    MAX_PAUSE_SECONDS,
    CompletedOrder,
    Delivery,
    DeliveryState,
)
from dataplatform.reactions import reactions
from dataplatform.unit_of_work import DeliveryUnitOfWork
from events.contract import Line, OrderCompleted
from saga.unit_of_work import Rows

NOW = datetime(2030, 1, 1, tzinfo=UTC)
ORDER, OTHER = "11111111-1111-4111-8111-111111110000", "22222222-2222-4222-8222-22222222ffff"


def completed(order_id: str = ORDER) -> OrderCompleted:
    return OrderCompleted(
        order_id=order_id,
        customer_id=OTHER,
        items=(Line(product_id=ORDER, quantity=2, price=50),),
        total_amount=100,
        discount_amount=10,
        payable_amount=90,
        completed_at=NOW,
    )


class Deliveries:
    """The rows over several batches, one message in each."""

    def __init__(self) -> None:
        self.now = NOW
        self.rows: dict[str, Delivery] = {}
        self.external_calls: list[CompletedOrder] = []

    def do(self, message: object, after_seconds: float = 0) -> None:
        self.now += timedelta(seconds=after_seconds)
        uow = DeliveryUnitOfWork(self.now, Rows(self.rows))
        if isinstance(message, OrderCompleted):
            assert reactions.react(message, uow) == ()
        else:
            assert reactions.execute(message, uow).events == ()
        uow.release()
        self.rows |= {
            row.order_id: row for row in (*uow.deliveries.inserted, *uow.deliveries.updated)
        }
        self.external_calls += uow.external_calls

    def wait_seconds(self, order_id: str = ORDER) -> float:
        next_at = self.rows[order_id].next_at
        assert next_at is not None
        return (next_at - self.now).total_seconds()


@pytest.fixture
def deliveries() -> Deliveries:
    """With one completed order."""
    deliveries = Deliveries()
    deliveries.do(completed())
    return deliveries


def test_completed_order_is_due_at_once(deliveries: Deliveries) -> None:
    row = deliveries.rows[ORDER]
    assert (row.state, row.attempts, row.next_at) == (DeliveryState.PENDING, 0, NOW)
    assert deliveries.external_calls == []


def test_body_is_integration_event_in_camel_case(deliveries: Deliveries) -> None:
    deliveries.do(Send(order_id=ORDER))
    [sent] = deliveries.external_calls
    assert msgspec.json.decode(msgspec.json.encode(sent)) == {
        "orderId": ORDER,
        "customerId": OTHER,
        "items": [{"productId": ORDER, "quantity": 2, "price": 50}],
        "totalAmount": 100,
        "discountAmount": 10,
        "payableAmount": 90,
        "completedAt": "2030-01-01T00:00:00Z",
    }


def test_second_order_completed_is_idempotent(deliveries: Deliveries) -> None:
    deliveries.do(Send(order_id=ORDER))
    deliveries.do(DeliveryAccepted(order_id=ORDER))
    before = deliveries.rows[ORDER]
    deliveries.do(completed(), after_seconds=60)
    assert deliveries.rows == {ORDER: before}


def test_leased_delivery_is_not_sent_by_another_instance(deliveries: Deliveries) -> None:
    deliveries.do(Send(order_id=ORDER))
    deliveries.do(Send(order_id=ORDER), after_seconds=LEASE_SECONDS - 1)
    assert len(deliveries.external_calls) == 1
    assert deliveries.rows[ORDER].attempts == 1


def test_delivery_without_outcome_is_sent_again_after_lease(deliveries: Deliveries) -> None:
    deliveries.do(Send(order_id=ORDER))
    deliveries.do(Send(order_id=ORDER), after_seconds=LEASE_SECONDS)
    assert len(deliveries.external_calls) == 2
    assert deliveries.rows[ORDER].attempts == 2


def test_accepted_delivery_is_final(deliveries: Deliveries) -> None:
    deliveries.do(Send(order_id=ORDER))
    deliveries.do(DeliveryFailed(order_id=ORDER, error="down"))
    deliveries.do(DeliveryAccepted(order_id=ORDER), after_seconds=1)  # of an earlier attempt
    row = deliveries.rows[ORDER]
    assert (row.state, row.sent_at) == (DeliveryState.SENT, deliveries.now)
    assert (row.next_at, row.last_error) == (None, None)

    for late in (
        DeliveryAccepted(order_id=ORDER),
        DeliveryFailed(order_id=ORDER, error="late"),
        Send(order_id=ORDER),
    ):
        deliveries.do(late, after_seconds=LEASE_SECONDS)
    assert deliveries.rows[ORDER] == row
    assert len(deliveries.external_calls) == 1


def test_pauses_double_up_to_a_limit(deliveries: Deliveries) -> None:
    pauses: list[float] = []
    for number in range(30):
        deliveries.do(Send(order_id=ORDER), after_seconds=pauses[-1] if pauses else 0)
        deliveries.do(DeliveryFailed(order_id=ORDER, error=f"down {number}"))
        pauses.append(deliveries.wait_seconds())
    assert 0.7 < pauses[0] < 1.3
    assert pauses == sorted(pauses)
    assert pauses[1] == pytest.approx(2 * pauses[0])
    assert MAX_PAUSE_SECONDS * 0.7 < pauses[-1] < MAX_PAUSE_SECONDS * 1.3
    assert deliveries.rows[ORDER].last_error == "down 29"
    assert deliveries.rows[ORDER].attempts == 30


def test_pauses_of_two_orders_differ(deliveries: Deliveries) -> None:
    deliveries.do(completed(OTHER))
    for order_id in (ORDER, OTHER):
        deliveries.do(Send(order_id=order_id))
        deliveries.do(DeliveryFailed(order_id=order_id, error="down"))
    assert deliveries.wait_seconds(OTHER) - deliveries.wait_seconds(ORDER) > 0.4


@pytest.mark.parametrize(("requested", "waits"), [(0, 1), (20, 20), (10**9, MAX_PAUSE_SECONDS)])
def test_platform_may_ask_for_longer_pause(
    deliveries: Deliveries, requested: int, waits: int
) -> None:
    deliveries.do(Send(order_id=ORDER))
    deliveries.do(DeliveryFailed(order_id=ORDER, error="busy", wait_seconds=requested))
    assert deliveries.wait_seconds() == pytest.approx(waits, abs=0.3)


@pytest.mark.parametrize(
    "command",
    [
        Send(order_id=OTHER),
        DeliveryAccepted(order_id=OTHER),
        DeliveryFailed(order_id=OTHER, error="?"),
    ],
    ids=lambda command: type(command).__name__,
)
def test_unknown_order_is_not_sent(deliveries: Deliveries, command: object) -> None:
    before = dict(deliveries.rows)
    deliveries.do(command)
    assert (deliveries.rows, deliveries.external_calls) == (before, [])
