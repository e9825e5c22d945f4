"""What the reactions and commands of the newservice service work on."""

from datetime import datetime

from newservice.domain import CountedOrder, CountState
from saga.unit_of_work import Rows, UnitOfWork


class NewserviceUnitOfWork(UnitOfWork):
    """The rows of a batch."""

    def __init__(self, now: datetime, orders: Rows[str, CountedOrder]) -> None:
        super().__init__(now, orders)
        self.orders = orders

    def record(self, order_id: str, customer_id: str, state: CountState) -> None:
        """Put an order's row."""
        self.orders[order_id] = CountedOrder(
            order_id=order_id, customer_id=customer_id, state=state, updated_at=self.now
        )
