"""`make status`: each part's process and health, each stream's room, and each consumer's lag."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from functools import partial

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import ConsumerInfo
from rich.console import Console
from rich.text import Text

from infra.stack import broker, health, processes, tables
from infra.stack.config import Stack

Observing = Callable[[], AbstractAsyncContextManager[Client]]


def show(stack: Stack, console: Console) -> bool:
    """Print the tables. True when every part is ready."""
    rows: list[tuple[tables.Cell, ...]] = []
    all_ready = True
    for process in processes.listed(stack):
        is_ready = health.ready(stack, process.name)
        all_ready = all_ready and is_ready
        healthy = Text("yes", "green") if is_ready else Text("no", "red")
        rows.append((*_cells(process), healthy))
    columns = ("part", "state", "pid", "since", "up for", "healthy")
    tables.show(console, columns, rows, title="Parts")
    if "redis" not in stack.parts:
        found = stack.redis_url or "off (no redis-server was found)"
        console.print(f"redis: {found}", soft_wrap=True)
    show_broker(partial(broker.observing, stack), console)
    return all_ready


def _cells(process: processes.Process) -> tuple[str, ...]:
    if process.pid is None:
        return process.name, process.state, "-", "-", "-"
    since = datetime.fromtimestamp(process.started_at_seconds, UTC).astimezone()
    up_for = str(timedelta(seconds=process.uptime_seconds))
    return process.name, process.state, str(process.pid), f"{since:%Y-%m-%d %H:%M:%S}", up_for


def show_broker(observing: Observing, console: Console) -> None:
    """Print each stream's room and each consumer's lag, by a connection that may read."""
    try:
        found = asyncio.run(asyncio.wait_for(_read(observing), 2 * broker.TIMEOUT_SECONDS))
    except (NatsError, OSError, TimeoutError) as error:
        console.print(f"Streams: the broker does not answer ({type(error).__name__}).")
        return
    console.print()
    _show_streams(found[0], console)
    console.print()
    _show_consumers(found[1], console)


def _show_streams(streams: list[broker.StreamUse], console: Console) -> None:
    columns = ("stream", "messages", "holds", "limit", "room for", "lasts")
    rows: list[tuple[str, ...]] = []
    for stream in streams:
        room = "-" if stream.room_bytes is None else f"{stream.orders_left:,} orders"
        limit = megabytes(stream.max_bytes) if stream.max_bytes else "the broker's"
        row = (f"{stream.messages:,}", megabytes(stream.bytes), limit, room, lasts(stream))
        rows.append((stream.name, *row))
    tables.show(console, columns, rows, title="Streams", right=columns[1:5])


def megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"


def lasts(stream: broker.StreamUse) -> str:
    """For how long its limit is enough, at the rate at which it has grown since its first message.

    A message leaves it after its maximum age, so what lasts longer lasts for ever.
    """
    days = stream.days_at_this_rate
    if days is None:
        return "-"
    return "for ever" if days > stream.max_age_days else f"{days:.1f} days"


def _show_consumers(consumers: list[ConsumerInfo], console: Console) -> None:
    columns = ("stream", "consumer", "to deliver", "unacknowledged", "redelivered")
    rows: list[tuple[str, ...]] = []
    for info in consumers:
        counts = (info.num_pending, info.num_ack_pending, info.num_redelivered)
        rows.append((info.stream_name, info.name, *(str(count or 0) for count in counts)))
    if rows:
        tables.show(console, columns, rows, title="Consumers", right=columns[2:])
    else:
        console.print("Consumers: there are none yet.")


async def _read(observing: Observing) -> tuple[list[broker.StreamUse], list[ConsumerInfo]]:
    async with observing() as client:
        return await broker.stream_uses(client), await broker.consumers(client)
