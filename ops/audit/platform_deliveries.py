"""What the data platform gets: every completed order, no other, and each accepted once.

The simulated platform's statement is read after the databases. What it shows from after the audit's
beginning is not checked. Another platform gives no statement: then only the deliveries are checked.
"""

from collections.abc import Iterator

import httpx
import msgspec
from sqlalchemy import Connection, text

from ops.audit.findings import CannotRead, Discrepancy, Result, result
from ops.audit.orders import Order, Orders
from ops.audit.tolerance import Tolerance

RECORDED = "data platform: each completed order is there to be sent, and no other"
ACCEPTED = "data platform: what was sent is in its statement, and nothing else is"

_COMPLETED = ("COMPLETED", "CANCELLING", "CANCELLED")
_TIMEOUT_SECONDS = 10.0
_PAGE_ROWS = 1000


class Line(msgspec.Struct, frozen=True):
    """A line of the statement. `time` in Unix seconds."""

    sequence: int
    key: str
    time: float


class _Page(msgspec.Struct):
    items: list[Line]


def deliveries(dataplatform: Connection) -> dict[str, str]:
    """The state of each delivery, by order."""
    rows = dataplatform.execute(text("SELECT order_id, state FROM deliveries"))
    return {row.order_id: row.state for row in rows}


def checks(
    lines: list[Line] | None, orders: Orders, known: dict[str, str], tolerance: Tolerance
) -> list[Result]:
    """Compare the deliveries with the orders and, where there is one, the platform's statement."""
    found = [
        discrepancy
        for order in orders.checked
        for discrepancy in _unrecorded(order, known, tolerance)
    ]
    results = [result(RECORDED, len(orders.checked), found)]
    if lines is not None:
        began = tolerance.began_at.timestamp()
        results.append(result(ACCEPTED, len(lines), _accepted(lines, known, began)))
    return results


def _unrecorded(order: Order, known: dict[str, str], tolerance: Tolerance) -> Iterator[Discrepancy]:
    state, has_one = order.state("order"), order.order_id in known
    completed = state in _COMPLETED
    # The event of one that completed before there was a sender may be gone by now.
    too_old = tolerance.may_be_removed(order.last_moved_at, tolerance.inbox_seconds)
    if completed and not has_one and not too_old:
        what = f"the order is {state}, but there is no delivery for it"
        yield Discrepancy(
            check=RECORDED, order_id=order.order_id, event="OrderCompleted", what=what
        )
    if has_one and not completed:
        what = f"there is a delivery for it, but the order is {state}"
        yield Discrepancy(check=RECORDED, order_id=order.order_id, what=what)


def _accepted(lines: list[Line], known: dict[str, str], began: float) -> Iterator[Discrepancy]:
    accepted = {line.key for line in lines}
    for order_id, state in known.items():
        if state == "SENT" and order_id not in accepted:
            what = "it was sent, but the platform does not have it"
            yield Discrepancy(check=ACCEPTED, order_id=order_id, what=what)
    for line in lines:
        if line.key not in known and line.time < began:
            what = f"the platform has accepted {line.key}, for which there is no delivery"
            yield Discrepancy(check=ACCEPTED, entity=line.key, what=what)


def statement(url: str) -> list[Line] | None:
    """All that the platform has accepted, in order; None where it gives no statement.

    Raises CannotRead.
    """
    found: list[Line] = []
    while True:
        after = found[-1].sequence if found else 0
        page = _page(f"{url}/v1/statement?after={after}&limit={_PAGE_ROWS}")
        if page is None:
            return None
        if not page:
            return found
        found += page


def _page(url: str) -> list[Line] | None:
    try:
        answer = httpx.get(url, timeout=_TIMEOUT_SECONDS, trust_env=False)
        if answer.status_code == 404:
            return None
        answer.raise_for_status()
        return msgspec.json.decode(answer.content, type=_Page).items
    except (httpx.HTTPError, msgspec.DecodeError) as error:
        raise CannotRead(
            f"The data platform's statement can't be read ({error!r}). Look at: make status"
        ) from error
