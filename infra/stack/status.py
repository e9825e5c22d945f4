"""What runs, since when, whether it is well, and how far behind each consumer is."""

import asyncio
from datetime import UTC, datetime, timedelta

import nats
from nats.errors import Error as NatsError
from nats.js.api import ConsumerInfo
from nats.js.errors import NotFoundError
from rich.console import Console
from rich.table import Table

from infra.stack import health, passwords, processes
from infra.stack.config import Stack

_STREAMS = ("SAGA", "CATALOG")
_TIMEOUT_SECONDS = 3


def show(stack: Stack, console: Console) -> bool:
    """Print both tables. True when every part is well."""
    table = Table("part", "state", "pid", "since", "up for", "healthy", title="Parts")
    all_well = True
    for process in processes.listed(stack):
        well = health.ready(stack, process.name)
        all_well = all_well and well
        table.add_row(*_cells(process), "[green]yes" if well else "[red]no")
    console.print(table)
    if "redis" not in stack.parts:
        console.print("redis: " + (stack.redis_url or "off (no redis-server was found)"))
    _show_consumers(stack, console)
    return all_well


def _cells(process: processes.Process) -> tuple[str, ...]:
    if process.pid is None:
        return process.name, process.state, "-", "-", "-"
    since = datetime.fromtimestamp(process.started_at_seconds, UTC).astimezone()
    up_for = str(timedelta(seconds=process.uptime_seconds))
    return process.name, process.state, str(process.pid), f"{since:%Y-%m-%d %H:%M:%S}", up_for


def _show_consumers(stack: Stack, console: Console) -> None:
    try:
        consumers = asyncio.run(asyncio.wait_for(_consumers(stack), 2 * _TIMEOUT_SECONDS))
    except (NatsError, OSError, TimeoutError) as error:
        console.print(f"Consumers: the broker does not answer ({type(error).__name__}).")
        return
    columns = ("stream", "consumer", "to deliver", "unacknowledged", "redelivered")
    table = Table(*columns, title="Consumers")
    for info in consumers:
        counts = (info.num_pending, info.num_ack_pending, info.num_redelivered)
        table.add_row(info.stream_name, info.name, *(str(count or 0) for count in counts))
    console.print(table if consumers else "Consumers: there are none yet.")


async def _consumers(stack: Stack) -> list[ConsumerInfo]:
    password = passwords.load(stack.state_dir)["observer"]
    client = await nats.connect(
        stack.nats_url("observer", password),
        # At once or not: by default it would knock sixty times, two seconds apart.
        allow_reconnect=False,
        max_reconnect_attempts=1,
        reconnect_time_wait=0,
        connect_timeout=_TIMEOUT_SECONDS,
        error_cb=_ignore,
    )
    try:
        found: list[ConsumerInfo] = []
        for stream in _STREAMS:
            try:
                found += await client.jetstream(timeout=_TIMEOUT_SECONDS).consumers_info(stream)
            except NotFoundError:
                continue
        return sorted(found, key=lambda info: (info.stream_name, info.name))
    finally:
        await client.close()


async def _ignore(error: Exception) -> None:
    """The caller gets the error as well, and says it once."""
    del error
