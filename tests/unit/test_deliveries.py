"""What the data platform is owed, and when it is tried again."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from dataplatform.domain import (
    LEASE_SECONDS,
    MAX_PAUSE_SECONDS,
    CompletedOrder,
    Deliveries,
    Delivery,
    DeliveryAccepted,
    DeliveryFailed,
    DeliveryState,
    Send,
)
from dataplatform.reactions import reactions
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


class Ledger:
    """The rows over several batches, one message in each."""

    def __init__(self) -> None:
        self.now = NOW
        self.rows: dict[str, Delivery] = {}
        self.external_calls: list[CompletedOrder] = []

    def do(self, message: object, after_seconds: float = 0) -> None:
        self.now += timedelta(seconds=after_seconds)
        batch = Deliveries(self.now, Rows(self.rows))
        if isinstance(message, OrderCompleted):
            assert reactions.react(message, batch) == ()
        else:
            assert reactions.execute(message, batch).events == ()
        batch.release()
        self.rows |= {row.order_id: row for row in (*batch.rows.inserted, *batch.rows.updated)}
        self.external_calls += batch.external_calls

    def wait_seconds(self, order_id: str = ORDER) -> float:
        next_at = self.rows[order_id].next_at
        assert next_at is not None
        return (next_at - self.now).total_seconds()


@pytest.fixture
def ledger() -> Ledger:
    """With one completed order."""
    ledger = Ledger()
    ledger.do(completed())
    return ledger


def test_a_completed_order_is_due_at_once(ledger: Ledger) -> None:
    row = ledger.rows[ORDER]
    assert (row.state, row.attempts, row.next_at) == (DeliveryState.PENDING, 0, NOW)
    assert ledger.external_calls == []


def test_what_is_sent_is_the_order_in_the_platforms_words(ledger: Ledger) -> None:
    ledger.do(Send(order_id=ORDER))
    [sent] = ledger.external_calls
    assert msgspec.json.decode(msgspec.json.encode(sent)) == {
        "orderId": ORDER,
        "customerId": OTHER,
        "items": [{"productId": ORDER, "quantity": 2, "price": 50}],
        "totalAmount": 100,
        "discountAmount": 10,
        "payableAmount": 90,
        "completedAt": "2030-01-01T00:00:00Z",
    }


def test_hearing_of_it_again_changes_nothing(ledger: Ledger) -> None:
    ledger.do(Send(order_id=ORDER))
    ledger.do(DeliveryAccepted(order_id=ORDER))
    before = ledger.rows[ORDER]
    ledger.do(completed(), after_seconds=60)
    assert ledger.rows == {ORDER: before}


def test_one_instance_alone_takes_it_in_hand(ledger: Ledger) -> None:
    ledger.do(Send(order_id=ORDER))
    ledger.do(Send(order_id=ORDER), after_seconds=LEASE_SECONDS - 1)
    assert len(ledger.external_calls) == 1
    assert ledger.rows[ORDER].attempts == 1


def test_what_nobody_has_heard_of_is_tried_again(ledger: Ledger) -> None:
    ledger.do(Send(order_id=ORDER))
    ledger.do(Send(order_id=ORDER), after_seconds=LEASE_SECONDS)
    assert len(ledger.external_calls) == 2
    assert ledger.rows[ORDER].attempts == 2


def test_what_is_accepted_is_over(ledger: Ledger) -> None:
    ledger.do(Send(order_id=ORDER))
    ledger.do(DeliveryFailed(order_id=ORDER, error="down"))
    ledger.do(DeliveryAccepted(order_id=ORDER), after_seconds=1)  # the answer to an earlier try
    row = ledger.rows[ORDER]
    assert (row.state, row.sent_at) == (DeliveryState.SENT, ledger.now)
    assert (row.next_at, row.last_error) == (None, None)

    for late in (
        DeliveryAccepted(order_id=ORDER),
        DeliveryFailed(order_id=ORDER, error="late"),
        Send(order_id=ORDER),
    ):
        ledger.do(late, after_seconds=LEASE_SECONDS)
    assert ledger.rows[ORDER] == row
    assert len(ledger.external_calls) == 1


def test_the_pauses_grow_up_to_a_limit(ledger: Ledger) -> None:
    pauses: list[float] = []
    for number in range(30):
        ledger.do(Send(order_id=ORDER), after_seconds=pauses[-1] if pauses else 0)
        ledger.do(DeliveryFailed(order_id=ORDER, error=f"down {number}"))
        pauses.append(ledger.wait_seconds())
    assert 0.7 < pauses[0] < 1.3
    assert pauses == sorted(pauses)
    assert pauses[1] == pytest.approx(2 * pauses[0])
    assert MAX_PAUSE_SECONDS * 0.7 < pauses[-1] < MAX_PAUSE_SECONDS * 1.3
    assert ledger.rows[ORDER].last_error == "down 29"
    assert ledger.rows[ORDER].attempts == 30


def test_two_orders_do_not_come_back_together(ledger: Ledger) -> None:
    ledger.do(completed(OTHER))
    for order_id in (ORDER, OTHER):
        ledger.do(Send(order_id=order_id))
        ledger.do(DeliveryFailed(order_id=order_id, error="down"))
    assert ledger.wait_seconds(OTHER) - ledger.wait_seconds(ORDER) > 0.4


@pytest.mark.parametrize(("asked_for", "waits"), [(0, 1), (20, 20), (10**9, MAX_PAUSE_SECONDS)])
def test_the_platform_may_ask_for_more_time(ledger: Ledger, asked_for: int, waits: int) -> None:
    ledger.do(Send(order_id=ORDER))
    ledger.do(DeliveryFailed(order_id=ORDER, error="busy", wait_seconds=asked_for))
    assert ledger.wait_seconds() == pytest.approx(waits, abs=0.3)


@pytest.mark.parametrize(
    "command",
    [
        Send(order_id=OTHER),
        DeliveryAccepted(order_id=OTHER),
        DeliveryFailed(order_id=OTHER, error="?"),
    ],
    ids=lambda command: type(command).__name__,
)
def test_an_order_that_nobody_completed_is_not_sent(ledger: Ledger, command: object) -> None:
    before = dict(ledger.rows)
    ledger.do(command)
    assert (ledger.rows, ledger.external_calls) == (before, [])
