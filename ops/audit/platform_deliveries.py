"""What the data platform is sent: every completed order, no other, and each accepted once.

The simulated platform's own statement is read after the databases. What it shows of a moment later
than the audit's beginning is left alone. Another platform gives no statement: then only our side is
looked at.
"""

from collections.abc import Iterator

import httpx
import msgspec
from sqlalchemy import Connection, text

from infra.stack.config import Stack
from ops.audit.delivery import Patience
from ops.audit.findings import CannotRead, Discrepancy, Result, result
from ops.audit.orders import Order, Orders

UNSETTLED_ROUTE = "data platform: each completed order is there to be sent, and no other"
ACCEPTED = "data platform: what was sent is in its statement, and nothing else is"

_COMPLETED = ("COMPLETED", "CANCELLING", "CANCELLED")
_TIMEOUT_SECONDS = 10.0
_PAGE_ROWS = 1000


class _Line(msgspec.Struct, frozen=True):
    """A line of the statement. `time` in Unix seconds."""

    sequence: int
    key: str
    time: float


class _Page(msgspec.Struct):
    items: list[_Line]


def deliveries(dataplatform: Connection) -> dict[str, str]:
    """The state of each delivery, by order."""
    rows = dataplatform.execute(text("SELECT order_id, state FROM deliveries"))
    return {row.order_id: row.state for row in rows}


def checks(stack: Stack, orders: Orders, known: dict[str, str], patience: Patience) -> list[Result]:
    """Raises CannotRead when the simulated platform's statement can't be read."""
    found = [
        discrepancy for order in orders.judged for discrepancy in _owed(order, known, patience)
    ]
    results = [result(UNSETTLED_ROUTE, len(orders.judged), found)]
    if stack.simulates_platform:
        lines = statement(stack.url("platform"))
        began = patience.began_at.timestamp()
        results.append(result(ACCEPTED, len(lines), _accepted(lines, known, began)))
    return results


def _owed(order: Order, known: dict[str, str], patience: Patience) -> Iterator[Discrepancy]:
    state, has_one = order.state("order"), order.order_id in known
    completed = state in _COMPLETED
    # One that completed before there was a sender, and whose event is gone, can't be sent any more.
    too_old = patience.may_be_forgotten(order.last_moved_at, patience.inbox_seconds)
    if completed and not has_one and not too_old:
        what = f"the order is {state}, but nothing is there to be sent for it"
        yield Discrepancy(
            check=UNSETTLED_ROUTE, order_id=order.order_id, event="OrderCompleted", what=what
        )
    if has_one and not completed:
        what = f"it is to be sent, or was, but the order is {state}"
        yield Discrepancy(check=UNSETTLED_ROUTE, order_id=order.order_id, what=what)


def _accepted(lines: list[_Line], known: dict[str, str], began: float) -> Iterator[Discrepancy]:
    accepted = {line.key for line in lines}
    for order_id, state in known.items():
        if state == "SENT" and order_id not in accepted:
            what = "it was sent, but the platform does not have it"
            yield Discrepancy(check=ACCEPTED, order_id=order_id, what=what)
    for line in lines:
        if line.key not in known and line.time < began:
            what = f"the platform has accepted {line.key}, which nobody was to send"
            yield Discrepancy(check=ACCEPTED, what=what)


def statement(url: str) -> list[_Line]:
    """Everything that the simulated platform has accepted, in order."""
    found: list[_Line] = []
    while True:
        after = found[-1].sequence if found else 0
        page = _page(f"{url}/v1/statement?after={after}&limit={_PAGE_ROWS}")
        if not page:
            return found
        found += page


def _page(url: str) -> list[_Line]:
    try:
        answer = httpx.get(url, timeout=_TIMEOUT_SECONDS, trust_env=False)
        answer.raise_for_status()
        return msgspec.json.decode(answer.content, type=_Page).items
    except (httpx.HTTPError, msgspec.DecodeError) as error:
        raise CannotRead(
            f"The data platform's statement can't be read ({error!r}). Look at: make status"
        ) from error
