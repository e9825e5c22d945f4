"""`make dlq` and `make redrive`: the services' dead letters, and handling them again."""

from collections.abc import Iterator
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from infra.stack.config import SERVICES, StackError
from ops.deployment import Deployment

_TIMEOUT_SECONDS = 10.0
_PAGE_ROWS = 100


def show(shop: Deployment, console: Console) -> None:
    """Print every service's dead letters, the newest first.

    Raises StackError where an address is not set and when a service does not answer.
    """
    shop.require(f"{service.upper()}_URL" for service in SERVICES)
    table = Table("service", "id", "subject", "reason", "error", "stored", "redriven")
    for service in SERVICES:
        for letter in _letters(shop, service):
            table.add_row(
                service,
                str(letter["id"]),
                letter["subject"],
                letter["reason"],
                letter["error"],
                letter["createdAt"],
                letter["redrivenAt"] or "-",
            )
    console.print(table if table.row_count else "There are no dead letters.")


def redrive(shop: Deployment, service: str, letter: str, console: Console) -> None:
    """Have a service handle a dead letter again, or `all` that were not redriven yet.

    Raises StackError for an id that there is not, and when the service does not answer.
    """
    if letter == "all":
        chosen = [str(each["id"]) for each in _letters(shop, service) if not each["redrivenAt"]]
    elif letter.isascii() and letter.isdigit():
        chosen = [letter]
    else:
        raise StackError(f"{letter!r} is no dead letter's id. Use a number of `make dlq`, or all.")
    for letter_id in reversed(chosen):
        _call(shop, service, "POST", f"/{letter_id}/redrive")
        console.print(f"{service} handles dead letter {letter_id} again.", highlight=False)
    if not chosen:
        console.print(f"{service} has no dead letter to redrive.")


def _letters(shop: Deployment, service: str) -> Iterator[dict[str, Any]]:
    page = 0
    while items := _call(shop, service, "GET", f"?size={_PAGE_ROWS}&page={page}")["items"]:
        yield from items
        page += 1


def _call(shop: Deployment, service: str, method: str, path: str) -> Any:
    url = f"{shop.url(service)}/api/v1/ops/dead-letters{path}"
    try:
        answer = httpx.request(
            method, url, headers=shop.headers, timeout=_TIMEOUT_SECONDS, trust_env=False
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise StackError(f"{service} does not answer ({error}). Look at: make status") from error
    if not answer.is_success:
        raise StackError(f"{service}: {_message(answer)}")
    return answer.json() if answer.content else None


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError):
        return f"HTTP {answer.status_code}"
