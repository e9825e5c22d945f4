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
from rich.table import Table

from infra.stack import broker, health, processes
from infra.stack.config import Stack

Observing = Callable[[], AbstractAsyncContextManager[Client]]


def show(stack: Stack, console: Console) -> bool:
    """Print the tables. True when every part is ready."""
    table = Table("part", "state", "pid", "since", "up for", "healthy", title="Parts")
    all_ready = True
    for process in processes.listed(stack):
        is_ready = health.ready(stack, process.name)
        all_ready = all_ready and is_ready
        table.add_row(*_cells(process), "[green]yes" if is_ready else "[red]no")
    console.print(table)
    if "redis" not in stack.parts:
        console.print("redis: " + (stack.redis_url or "off (no redis-server was found)"))
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
    _show_streams(found[0], console)
    _show_consumers(found[1], console)


def _show_streams(streams: list[broker.StreamUse], console: Console) -> None:
    columns = ("stream", "messages", "holds", "limit", "room for", "lasts")
    table = Table(*columns, title="Streams")
    for stream in streams:
        room = "-" if stream.room_bytes is None else f"{stream.orders_left:,} orders"
        limit = megabytes(stream.max_bytes) if stream.max_bytes else "the broker's"
        row = (f"{stream.messages:,}", megabytes(stream.bytes), limit, room, lasts(stream))
        table.add_row(stream.name, *row)
    console.print(table)


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
    table = Table(*columns, title="Consumers")
    for info in consumers:
        counts = (info.num_pending, info.num_ack_pending, info.num_redelivered)
        table.add_row(info.stream_name, info.name, *(str(count or 0) for count in counts))
    console.print(table if consumers else "Consumers: there are none yet.")


async def _read(observing: Observing) -> tuple[list[broker.StreamUse], list[ConsumerInfo]]:
    async with observing() as client:
        return await broker.stream_uses(client), await broker.consumers(client)
