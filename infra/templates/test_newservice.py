"""What the newservice service does with an event, on rows in memory."""

from datetime import UTC, datetime

from events.contract import OrderCompleted
from newservice.domain import CountState
from newservice.reactions import reactions
from newservice.unit_of_work import NewserviceUnitOfWork
from saga.unit_of_work import Rows

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
ORDER = "01a1fd5b-b50e-7f17-aedd-45aaa59806e5"
CUSTOMER = "3fa85f64-5717-4562-b3fc-2c963f66afa6"


def completed() -> OrderCompleted:
    return OrderCompleted(
        order_id=ORDER,
        customer_id=CUSTOMER,
        items=(),
        total_amount=1_000,
        discount_amount=0,
        payable_amount=1_000,
        completed_at=NOW,
    )


def test_completed_order_is_counted_once() -> None:
    uow = NewserviceUnitOfWork(NOW, Rows())

    for _ in range(2):
        assert reactions.react(completed(), uow) == ()

    uow.release()
    [row] = uow.orders.inserted
    assert (row.order_id, row.customer_id, row.state) == (ORDER, CUSTOMER, CountState.COUNTED)
