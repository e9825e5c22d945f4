"""Which orders a run has lost, and which of them could not have been kept."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

from events.contract import OrderCreated
from ops.audit import stream
from ops.deployment import find as find_deployment
from order.domain import STATES, OrderState
from tests.e2e.audit_fixtures import database_file

LOST_FOLDER = "lost"
"""In STATE_DIR: databases that a fault has moved away."""

_STATUS = {state: status.value for status, each in STATES.items() for state in each}
_FINAL = {"COMPLETED": {"COMPLETED", "CANCELLED"}, "FAILED": {"FAILED"}, "CANCELLED": {"CANCELLED"}}
"""What may follow on the end that a client has seen."""


def find(
    environment: Mapping[str, str], ended: Mapping[str, str], gone: Iterable[str]
) -> tuple[list[str], list[str]]:
    """The orders that may be gone, and what is lost, each in a sentence.

    An order may be gone if a lost database of the order service had accepted it and not published
    its OrderCreated yet: a restored database has what the backup or the stream has. `ended` are all
    other orders, with the end that a client has seen.
    """
    known = dict(_rows(database_file(environment, "order"), "SELECT order_id, state FROM orders"))
    unpublished = set(_unpublished(environment))
    in_stream = _in_stream(environment)
    excused, lost = [], []
    for order_id in [*gone, *ended]:
        now = _STATUS[OrderState(known[order_id])] if order_id in known else None
        seen = ended.get(order_id)
        if now is None and order_id in unpublished and order_id not in in_stream:
            excused.append(order_id)
        elif now is None:
            lost.append(f"order {order_id} is not there any more; last seen: {seen}")
        elif seen is not None and now not in _FINAL[seen]:
            lost.append(f"order {order_id} is {now}, and was {seen}")
    return excused, lost


def _unpublished(environment: Mapping[str, str]) -> Iterator[str]:
    """The orders that were not published when a database of the order service was lost."""
    query = "SELECT key, name FROM outbox WHERE published_at IS NULL"
    state_dir = Path(environment["STATE_DIR"])
    for file in (
        *state_dir.glob(f"{LOST_FOLDER}/order.db.*"),
        *state_dir.glob("db/order.db.replaced-*"),
    ):
        if not file.name.endswith(("-wal", "-shm")):
            yield from (key for key, name in _rows(file, query) if name == OrderCreated.__name__)


def _in_stream(environment: Mapping[str, str]) -> set[str]:
    held = stream.contents(find_deployment(environment))["SAGA"].messages.values()
    subjects = (each.subject.split(".") for each in held)
    return {order_id for _, order_id, name in subjects if name == OrderCreated.__name__}


def _rows(file: Path, query: str) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(query).fetchall()
