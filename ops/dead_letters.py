"""`make dlq` and `make redrive`: the services' dead letters, and handling them again."""

import os
from collections.abc import Iterator
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from infra.stack.config import SERVICES, Stack, StackError

_TIMEOUT_SECONDS = 10.0
_PAGE_ROWS = 100


def show(stack: Stack, console: Console) -> None:
    """Print every service's dead letters, the newest first."""
    table = Table("service", "id", "subject", "reason", "error", "stored", "redriven")
    for service in SERVICES:
        for letter in _letters(stack, service):
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


def redrive(stack: Stack, service: str, letter: str, console: Console) -> None:
    """Have a service handle a dead letter again, or `all` that were not redriven yet.

    Raises StackError for an id that there is not, and when the service does not answer.
    """
    if letter == "all":
        chosen = [str(each["id"]) for each in _letters(stack, service) if not each["redrivenAt"]]
    elif letter.isascii() and letter.isdigit():
        chosen = [letter]
    else:
        raise StackError(f"{letter!r} is no dead letter's id. Use a number of `make dlq`, or all.")
    for letter_id in reversed(chosen):
        _call(stack, service, "POST", f"/{letter_id}/redrive")
        console.print(f"{service} handles dead letter {letter_id} again.", highlight=False)
    if not chosen:
        console.print(f"{service} has no dead letter to redrive.")


def _letters(stack: Stack, service: str) -> Iterator[dict[str, Any]]:
    page = 0
    while items := _call(stack, service, "GET", f"?size={_PAGE_ROWS}&page={page}")["items"]:
        yield from items
        page += 1


def _call(stack: Stack, service: str, method: str, path: str) -> Any:
    url = f"{stack.url(service)}/api/v1/ops/dead-letters{path}"
    token = os.environ.get("OPS_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        answer = httpx.request(
            method, url, headers=headers, timeout=_TIMEOUT_SECONDS, trust_env=False
        )
    except httpx.HTTPError as error:
        raise StackError(f"{service} does not answer ({error}). Look at: make status") from error
    if not answer.is_success:
        raise StackError(f"{service}: {_message(answer)}")
    return answer.json() if answer.content else None


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError):
        return f"HTTP {answer.status_code}"
