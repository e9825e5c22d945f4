"""`make status`: each part's process and health, and each consumer's lag."""

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
    """Print both tables. True when every part is ready."""
    table = Table("part", "state", "pid", "since", "up for", "healthy", title="Parts")
    all_ready = True
    for process in processes.listed(stack):
        is_ready = health.ready(stack, process.name)
        all_ready = all_ready and is_ready
        table.add_row(*_cells(process), "[green]yes" if is_ready else "[red]no")
    console.print(table)
    if "redis" not in stack.parts:
        console.print("redis: " + (stack.redis_url or "off (no redis-server was found)"))
    show_consumers(partial(broker.observing, stack), console)
    return all_ready


def _cells(process: processes.Process) -> tuple[str, ...]:
    if process.pid is None:
        return process.name, process.state, "-", "-", "-"
    since = datetime.fromtimestamp(process.started_at_seconds, UTC).astimezone()
    up_for = str(timedelta(seconds=process.uptime_seconds))
    return process.name, process.state, str(process.pid), f"{since:%Y-%m-%d %H:%M:%S}", up_for


def show_consumers(observing: Observing, console: Console) -> None:
    """Print each consumer's lag, by a connection that may read."""
    try:
        consumers = asyncio.run(asyncio.wait_for(_consumers(observing), 2 * broker.TIMEOUT_SECONDS))
    except (NatsError, OSError, TimeoutError) as error:
        console.print(f"Consumers: the broker does not answer ({type(error).__name__}).")
        return
    columns = ("stream", "consumer", "to deliver", "unacknowledged", "redelivered")
    table = Table(*columns, title="Consumers")
    for info in consumers:
        counts = (info.num_pending, info.num_ack_pending, info.num_redelivered)
        table.add_row(info.stream_name, info.name, *(str(count or 0) for count in counts))
    console.print(table if consumers else "Consumers: there are none yet.")


async def _consumers(observing: Observing) -> list[ConsumerInfo]:
    async with observing() as client:
        return await broker.consumers(client)
