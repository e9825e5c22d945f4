"""What the newservice service does for each event and command.

The type hints are the subscription. For another event write another function with `@reactions.on`,
or with `@reactions.compensation` where it undoes something. A reaction that emits an event names it
in its return type. `make choreography` checks the flow and draws it.
"""

from events.contract import CONTRACT, KEYS, OrderCompleted
from newservice.domain import CountState
from newservice.unit_of_work import NewserviceUnitOfWork
from saga.reactions import Reactions

reactions = Reactions("newservice", CONTRACT, follows={KEYS})


@reactions.on
def count(event: OrderCompleted, uow: NewserviceUnitOfWork) -> None:
    """Count the order, once."""
    if event.order_id not in uow.orders:
        uow.record(event.order_id, event.customer_id, CountState.COUNTED)
