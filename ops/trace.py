"""`make trace`: one order's events in their order."""

import os
import subprocess
import uuid
from pathlib import Path

import httpx
import msgspec
from rich.console import Console
from rich.table import Table

from infra.stack import nats_cli, passwords
from infra.stack.config import Stack, StackError
from ops.deployment import Deployment

_TIMEOUT_SECONDS = 10.0
_MAX_EVENTS = 1000


class TracedEvent(msgspec.Struct, frozen=True):
    """One event of an order, from the trace route or from the broker's headers."""

    name: str
    service: str | None = None
    time: str | None = None
    id: str | None = None
    cause: str | None = None


def show(shop: Deployment, order_id: str, console: Console) -> None:
    """Print the order's events: from the broker by the nats tool, else by the order service.

    The tool is used on the local stack, whose users it knows. Raises StackError.
    """
    order = _checked(order_id)
    tool = nats_cli.find(shop.stack) if shop.stack else None
    events = _from_broker(tool, shop.stack, order, console) if tool and shop.stack else []
    # The tool may fail, and the stream may have removed the order's events by their age.
    console.print(_table(order, events or _from_order_service(shop, order)))


def _checked(order_id: str) -> str:
    try:
        return str(uuid.UUID(order_id))
    except ValueError as error:
        raise StackError(
            f"{order_id!r} is not an order's id. Run: make trace ORDER=<id>"
        ) from error


def _from_broker(tool: str, stack: Stack, order: str, console: Console) -> list[TracedEvent]:
    """Read the stream by one batched direct get, which ends by itself.

    `nats stream view` and `nats sub --all` would need a consumer, which the observer may not make,
    and `nats sub --direct` does not filter by subject.
    """
    request = {"seq": 1, "batch": _MAX_EVENTS, "next_by_subj": f"saga.{order}.>"}
    body = msgspec.json.encode(request).decode()
    arguments = ["req", "$JS.API.DIRECT.GET.SAGA", body, "--wait-for-empty"]
    shown = f"$ nats req '{arguments[1]}' '{body}' --wait-for-empty"
    console.print(shown, style="dim", markup=False, highlight=False, soft_wrap=True)
    try:
        ended = subprocess.run(
            [tool, *arguments],
            env=_tool_environment(stack),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return _parsed(ended.stderr) if ended.returncode == 0 else []


def _parsed(output: str) -> list[TracedEvent]:
    """The events in what `nats req` prints of each answer: lines of "21:14:05 key: value".

    An empty line ends each answer; the last one has a status instead of a subject.
    """
    events, headers = [], dict[str, str]()
    for line in output.splitlines():
        name, separator, value = line.partition(" ")[2].partition(": ")
        if separator:
            headers[name.lower()] = value
        elif "nats-subject" in headers:
            events.append(_event(headers))
        if not separator:
            headers = {}
    return events


def _event(headers: dict[str, str]) -> TracedEvent:
    return TracedEvent(
        name=headers["nats-subject"].rpartition(".")[2],
        service=headers.get("ce-source"),
        time=headers.get("ce-time", headers.get("nats-time-stamp")),
        id=headers.get("ce-id"),
        cause=headers.get("ce-causationid"),
    )


def _tool_environment(stack: Stack) -> dict[str, str]:
    """The observer's credentials, without a context that the user has chosen for other brokers."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("NATS_")}
    return plain | {
        "NATS_URL": stack.nats_url(),
        "NATS_USER": "observer",
        "NATS_PASSWORD": passwords.load(stack.state_dir)["observer"],
        "XDG_CONFIG_HOME": str(Path(stack.state_dir, "nats-cli")),
    }


def _from_order_service(shop: Deployment, order: str) -> list[TracedEvent]:
    url = f"{shop.url('order')}/api/v1/orders/{order}/trace"
    try:
        answer = httpx.get(url, timeout=_TIMEOUT_SECONDS, trust_env=False)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise StackError(
            f"The order service does not answer ({error}). Look at: make status"
        ) from error
    if answer.status_code == 404:
        raise StackError(f"There is no order {order}.")
    if not answer.is_success:
        raise StackError(f"The order service answered HTTP {answer.status_code}: {answer.text}")
    content = answer.json()
    found = content if isinstance(content, list) else content["events"]
    return msgspec.convert(found, list[TracedEvent])


def _table(order: str, events: list[TracedEvent]) -> Table:
    table = Table(title=f"Order {order}", expand=True)
    # In a narrow terminal the id gives way, not the names. All ids of an order begin alike.
    for column, width in (("time", 12), ("event", 18), ("service", 7), ("caused by", 18)):
        table.add_column(column, no_wrap=True, min_width=width)
    table.add_column("id ends", no_wrap=True, overflow="ellipsis", ratio=1)
    names = {event.id: event.name for event in events if event.id}
    for event in events:
        cause = names.get(event.cause or "", event.cause)
        id_end = (event.id or "")[-8:]
        cells = (_clock(event.time), event.name, event.service, cause, id_end)
        table.add_row(*(cell or "-" for cell in cells))
    return table


def _clock(time: str | None) -> str | None:
    """The time of day to the millisecond: an order's events are seconds apart, not days."""
    date, separator, clock = (time or "").partition("T")
    return clock[:12].rstrip("Z") if separator else date
