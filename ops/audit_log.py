"""`make audit-log`: who has done what, in all services, in order of time."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from rich.console import Console

from infra.stack import tables
from ops import routes
from ops.deployment import Deployment

_PAGE_ROWS = 100
_DAY = timedelta(days=1)
_COLUMNS = (
    *("time", "service", "action", "outcome", "on", "subject", "roles", "for"),
    *("address", "times"),
)

Json = dict[str, Any]


class Wanted(NamedTuple):
    """Which entries: from a time on, of a subject, of an action. None: all, of the last day."""

    since: str | None = None
    subject: str | None = None
    action: str | None = None

    @property
    def query(self) -> dict[str, str]:
        since = self.since or (datetime.now(UTC) - _DAY).isoformat()
        given = {"since": since, "subject": self.subject, "action": self.action}
        return {name: value for name, value in given.items() if value}


def show(shop: Deployment, services: Sequence[str], wanted: Wanted, console: Console) -> None:
    """Print the services' entries, the oldest first.

    Raises StackError where an address is not set and when a service does not answer.
    """
    shop.require(f"{service.upper()}_URL" for service in services)
    found = [
        (service, each) for service in services for each in _entries(shop, service, wanted.query)
    ]
    if not found:
        console.print("The audit log has no such entry.")
        return
    found.sort(key=lambda each: (each[1]["at"], each[0], each[1]["id"]))
    rows = [_cells(service, each) for service, each in found]
    tables.show(console, _COLUMNS, rows, right=("times",))


def _cells(service: str, entry: Json) -> list[str]:
    outcome = f"{entry['outcome']} {entry['code']}" if entry["code"] else entry["outcome"]
    on = f"{entry['kind']} {entry['target']}" if entry["target"] else "-"
    return [
        *(entry["at"], service, entry["action"], outcome, on),
        *(entry["subject"] or "-", entry["roles"] or "-", entry["onBehalfOf"] or "-"),
        *(entry["clientAddress"] or "-", str(entry["times"])),
    ]


def _entries(shop: Deployment, service: str, query: dict[str, str]) -> Iterator[Json]:
    """Each entry once: the pages move while entries are added before them."""
    seen: set[int] = set()
    page = 0
    while items := _page(shop, service, query, page):
        yield from (each for each in items if each["id"] not in seen)
        seen.update(each["id"] for each in items)
        page += 1


def _page(shop: Deployment, service: str, query: dict[str, str], page: int) -> list[Json]:
    of_page: dict[str, str | int] = {**query, "page": page, "size": _PAGE_ROWS}
    answer = routes.call(shop, service, "GET", "audit-log", query=of_page)
    items: list[Json] = answer.json()["items"]
    return items
