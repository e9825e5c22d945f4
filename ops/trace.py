"""`make trace`: one order's events in their order, and how often each was published.

They are read from the stream: by the nats tool on the local stack, which it knows, else by the
order service. While the broker is away, or the order service, they are read from the services'
outboxes, by the operators' routes: also those that are not published yet.
"""

import os
import subprocess
import uuid
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import httpx
import msgspec
from rich.console import Console

from infra.stack import nats_cli, passwords, tables
from infra.stack.config import SERVICES, Stack, StackError
from ops.deployment import Deployment
from saga.envelope import name_in

_TIMEOUT_SECONDS = 10.0
_MAX_EVENTS = 1000


class TracedEvent(msgspec.Struct, frozen=True, rename="camel"):
    """One event of an order. `published_at`: known of an outbox alone, None while it waits there.

    `times`: how often the stream has it.
    """

    name: str
    service: str | None = None
    time: str | None = None
    id: str | None = None
    cause: str | None = None
    times: int = 1
    published_at: str | None = "unknown"


class _StreamAway(Exception):
    """The order service can't be asked for the stream's events."""


def show(shop: Deployment, order_id: str, console: Console) -> None:
    """Print the order's events. Raises StackError."""
    order = _checked(order_id)
    tool = nats_cli.find(shop.stack) if shop.stack else None
    events = _from_broker(tool, shop.stack, order, console) if tool and shop.stack else []
    # The tool may fail, and the stream may have removed the order's events by their age.
    events = folded(events) or _without_tool(shop, order, console)
    _show(order, events, console)


def _without_tool(shop: Deployment, order: str, console: Console) -> list[TracedEvent]:
    try:
        return _from_order_service(shop, order)
    except _StreamAway as problem:
        _print(console, f"{problem}: these are the events in the services' outboxes.")
        return in_order(_from_outboxes(shop, order, console))


def folded(events: Iterable[TracedEvent]) -> list[TracedEvent]:
    """Each event once, at its first place: a retransmission has the same id."""
    times = Counter(event.id for event in events)
    first = {event.id: event for event in reversed(list(events)) if event.id}
    return [
        msgspec.structs.replace(event, times=times[event.id] if event.id else 1)
        for event in events
        if event.id is None or event is first[event.id]
    ]


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
        name=name_in(headers["nats-subject"]),
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
        answer = httpx.get(url, headers=shop.headers, timeout=_TIMEOUT_SECONDS, trust_env=False)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _StreamAway("The order service does not answer") from error
    if answer.status_code == 404:
        raise StackError(f"There is no order {order}.")
    if answer.status_code == 503:
        raise _StreamAway("The stream can't be read now")
    if not answer.is_success:
        raise StackError(f"The order service answered HTTP {answer.status_code}: {answer.text}")
    return msgspec.convert(answer.json()["events"], list[TracedEvent])


def _from_outboxes(shop: Deployment, order: str, console: Console) -> list[TracedEvent]:
    """Of a service that does not answer the events are missing, and its name is printed."""
    shop.require(f"{service.upper()}_URL" for service in SERVICES)
    events: list[TracedEvent] = []
    for service in SERVICES:
        url = f"{shop.url(service)}/api/v1/ops/events/{order}"
        try:
            answer = httpx.get(url, headers=shop.headers, timeout=_TIMEOUT_SECONDS, trust_env=False)
            answer.raise_for_status()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            _print(console, f"Without the events of {service} ({error!r}).")
        else:
            events += msgspec.convert(answer.json()["items"], list[TracedEvent])
    if not events:
        raise StackError(f"No service that answers has an event of order {order}.")
    return events


def in_order(events: Iterable[TracedEvent]) -> list[TracedEvent]:
    """By their times, but none before its cause: the clocks of two machines differ."""
    waiting = sorted(events, key=lambda event: event.time or "")
    placed: list[TracedEvent] = []
    while waiting:
        ids = {event.id for event in waiting}
        following = next((each for each in waiting if each.cause not in ids), waiting[0])
        waiting.remove(following)
        placed.append(following)
    return placed


def _show(order: str, events: list[TracedEvent], console: Console) -> None:
    names = {event.id: event.name for event in events if event.id}
    rows = [
        [
            cell or "-"
            for cell in (
                _clock(event.time),
                event.name,
                event.service,
                names.get(event.cause or "", event.cause),
                _times(event),
                event.id,
            )
        ]
        for event in events
    ]
    columns = ("time", "event", "service", "caused by", "published", "id")
    tables.show(console, columns, rows, title=f"Order {order}")


def _times(event: TracedEvent) -> str:
    return "not yet" if event.published_at is None else f"{event.times}x"


def _print(console: Console, line: str) -> None:
    console.print(line, style="yellow", markup=False, highlight=False, soft_wrap=True)


def _clock(time: str | None) -> str | None:
    """The time of day to the millisecond: an order's events are seconds apart, not days."""
    date, separator, clock = (time or "").partition("T")
    return clock[:12].rstrip("Z") if separator else date
