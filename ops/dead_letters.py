"""`make dlq`, `make redrive` and `make dismiss`: the services' dead letters, and an end to them."""

from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
from rich.console import Console

from infra.stack import tables
from infra.stack.config import SERVICES, StackError
from infra.stack.console import visible
from ops import routes
from ops.deployment import Deployment

_PAGE_ROWS = 100
_ACCEPTED = 202
_NOT_DONE = ("OPEN", "FAILED_AGAIN")
_COLUMNS = (
    *("service", "id", "status", "attempts", "event", "key", "stored", "redriven"),
    *("reason", "error"),
)

Json = dict[str, Any]


def show(shop: Deployment, console: Console) -> None:
    """Print every service's dead letters, the newest first.

    Raises StackError where an address is not set and when a service does not answer.
    """
    shop.require(f"{service.upper()}_URL" for service in SERVICES)
    rows = [_cells(service, each) for service in SERVICES for each in _letters(shop, service)]
    if rows:
        tables.show(console, _COLUMNS, rows, right=("id", "attempts"))
    else:
        console.print("There are no dead letters.")


def _cells(service: str, letter: Json) -> list[str]:
    subject: str = letter["subject"]
    _, key, event, *_ = (*subject.split("."), "", "", "")
    dismissed = letter["dismissReason"]
    return [
        *(service, str(letter["id"]), letter["status"], str(letter["attempts"])),
        *(event or subject, key or "-"),
        *(letter["createdAt"], letter["redrivenAt"] or "-", letter["reason"]),
        letter["error"] if dismissed is None else f"{letter['error']} (dismissed: {dismissed})",
    ]


def redrive(shop: Deployment, service: str, letter: str, console: Console) -> bool:
    """Have a service handle a dead letter again, or `all` that are not done, and print how it ends.

    True when all of them are done. Raises StackError for an id that there is not, for a dismissed
    letter, and when the service does not answer.
    """
    chosen = _chosen(shop, service, letter)
    if not chosen:
        _print(console, f"{service} has no dead letter to redrive.")
    outcomes = [_redrive(shop, service, letter_id, console) for letter_id in chosen]
    return all(outcomes)


def _redrive(shop: Deployment, service: str, letter_id: str, console: Console) -> bool:
    answer = _call(shop, service, "POST", f"/{letter_id}/redrive")
    found = answer.json()
    outcome = f"{service}: dead letter {letter_id} is {found['status']}"
    if answer.status_code == _ACCEPTED:
        outcome += ", and waits for its turn. Look at: make dlq"
    elif found["status"] == "FAILED_AGAIN":
        outcome += f" (attempt {found['attempts']}): {found['reason']}: {found['error']}"
    _print(console, outcome)
    return answer.status_code != _ACCEPTED and found["status"] != "FAILED_AGAIN"


def preview(shop: Deployment, service: str, letter: str, console: Console) -> None:
    """Print what a redrive of a dead letter, or of `all` that are not done, would do.

    Raises StackError as `redrive` does.
    """
    for letter_id in _chosen(shop, service, letter):
        found = _call(shop, service, "GET", f"/{letter_id}/preview").json()
        _print(console, f"{service}: dead letter {letter_id} {found['summary']}")
        for event in found["events"]:
            body = msgspec.json.encode(event["body"]).decode()
            _print(console, f"  publish {event['name']} {event['key']} {body}")
        for change in found["changes"]:
            _print(console, f"  {change['rows']}: {_difference(change)}")


def _difference(change: Json) -> str:
    """A new row whole; of another one what changes, and the id that it begins with."""
    before, after = change["before"], change["after"]
    if before is None:
        return "+ " + _fields(after, after)
    key = next(iter(after))
    changed = [name for name in after if after[name] != before.get(name)]
    return f"{_fields(before, [key, *changed])} -> {_fields(after, changed)}"


def _fields(row: Json, names: Any) -> str:
    return " ".join(f"{name}={row[name]}" for name in names)


def dismiss(shop: Deployment, service: str, letter: str, reason: str, console: Console) -> None:
    """Give a dead letter up, or `all` that are not done. Raises StackError as `redrive` does."""
    chosen = _chosen(shop, service, letter)
    if not chosen:
        _print(console, f"{service} has no dead letter to dismiss.")
    for letter_id in chosen:
        found = _call(shop, service, "POST", f"/{letter_id}/dismiss", {"reason": reason}).json()
        outcome = f"{found['status']}: {found['dismissReason']}"
        _print(console, f"{service}: dead letter {letter_id} is {outcome}")


def _chosen(shop: Deployment, service: str, letter: str) -> list[str]:
    """The ids that were named, the oldest first. Raises StackError."""
    if letter == "all":
        found = (each for each in _letters(shop, service) if each["status"] in _NOT_DONE)
        return [str(each["id"]) for each in found][::-1]
    if letter.isascii() and letter.isdigit():
        return [letter]
    raise StackError(f"{letter!r} is no dead letter's id. Use a number of `make dlq`, or all.")


def _letters(shop: Deployment, service: str) -> Iterator[Json]:
    page = 0
    while items := _call(shop, service, "GET", f"?size={_PAGE_ROWS}&page={page}").json()["items"]:
        yield from items
        page += 1


def _call(
    shop: Deployment, service: str, method: str, path: str, body: Json | None = None
) -> httpx.Response:
    return routes.call(shop, service, method, f"dead-letters{path}", body=body)


def _print(console: Console, line: str) -> None:
    console.print(visible(line), markup=False, highlight=False, soft_wrap=True)
