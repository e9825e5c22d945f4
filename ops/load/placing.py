"""Place the orders of a load, and wait for their ends."""

import asyncio
import time
from contextlib import suppress
from itertools import repeat
from typing import Any

import aiohttp
import msgspec
from nats.aio.client import Client as Broker
from nats.aio.msg import Msg
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from infra.stack.config import StackError
from infra.stack.console import CommandConsole
from ops.deployment import Deployment, observing
from ops.load.client import COFFEE, RICH, Client, Items, connected
from ops.load.figures import Figures, Left, figures
from ops.load.run import Run

SEEDED = "66-34"

_SETTLE_SECONDS = 5.0
_PAUSE_SECONDS = 0.05
_SILENCE_SECONDS = 2.0
_ASK_SECONDS = 5.0


class Load(msgspec.Struct, frozen=True):
    """How many orders, how many POSTs at once, and how long to wait after the last one.

    `scenario` is None or SEEDED. `quiet`: the progress is printed on stderr.
    """

    orders: int
    concurrency: int
    timeout_seconds: int
    scenario: str | None
    quiet: bool


async def place(shop: Deployment, load: Load) -> Figures:
    """Raises StackError, aiohttp.ClientError, NatsError and OSError before the first order."""
    async with observing(shop) as broker, connected(shop) as client:
        if load.scenario == SEEDED:
            items = Items(RICH, COFFEE, is_own=False)
        else:
            items = await client.create_items(load.orders)
        with _bar(quiet=load.quiet) as progress:
            run = Run(progress, load.orders)
            await _watch(broker, run)
            await _place_all(client, run, items, load)
            await _wait_for_ends(client, run, load.timeout_seconds)
        left = await _left(client, items, settle=not run.not_ended)
        if items.is_own and not run.not_ended:
            await _remove(client, items)
        return figures(
            ended_at=run.ended_at,
            ends=run.ends,
            sent_at=run.sent_at,
            post_seconds=run.post_seconds,
            refused=run.refused,
            span=(run.first_sent_at, run.last_answer_at),
            left=left,
        )


def _bar(*, quiet: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = CommandConsole(stderr=quiet)
    shown = console.is_terminal  # piped, it would print nothing but its last state
    return Progress(*columns, TimeElapsedColumn(), console=console, disable=not shown)


async def _watch(broker: Broker, run: Run) -> None:
    """Subscribe before the first order is placed, so that no end is missed."""

    async def completed(message: Msg) -> None:
        run.ended(message.subject.split(".")[1], "COMPLETED")

    async def failed(message: Msg) -> None:
        reason = msgspec.json.decode(message.data).get("reason", "no reason")
        run.ended(message.subject.split(".")[1], f"FAILED {reason}")

    await broker.subscribe("saga.*.OrderCompleted", cb=completed)
    await broker.subscribe("saga.*.OrderFailed", cb=failed)
    await broker.flush()


async def _place_all(client: Client, run: Run, items: Items, load: Load) -> None:
    bodies = repeat(items.order, load.orders)  # shared by the workers

    async def work() -> None:
        for body in bodies:
            await _place(client, body, run)

    await asyncio.gather(*(work() for _ in range(min(load.concurrency, load.orders))))


async def _place(client: Client, body: dict[str, Any], run: Run) -> None:
    sent_at = time.perf_counter()
    try:
        status, answer = await client.call("order", "POST", "/orders", body)
    except (aiohttp.ClientError, TimeoutError) as error:
        run.refuse(f"no answer ({type(error).__name__})")
        return
    if status == 202:
        run.accept(str(answer["orderId"]), sent_at)
    else:
        run.refuse(f"{status} {answer['error'] if isinstance(answer, dict) else 'not JSON'}")


async def _wait_for_ends(client: Client, run: Run, timeout_seconds: int) -> None:
    """Wait for the ends' events; while none arrives ask the order service."""
    end = time.perf_counter() + timeout_seconds
    while run.not_ended and (left := end - time.perf_counter()) > 0:
        before = len(run.not_ended)
        await run.all_ended(min(left, _SILENCE_SECONDS))
        if len(run.not_ended) == before:
            await _ask(client, run)
    await _ask(client, run)


async def _ask(client: Client, run: Run) -> None:
    """Once, for as long as an answer may take; who is left is asked for again, or is not ended."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_ASK_SECONDS):
            await run.ask(client.how_ended)


async def _remove(client: Client, items: Items) -> None:
    try:
        await client.remove(items)
    except (StackError, aiohttp.ClientError, TimeoutError) as error:
        line = f"The product {items.product} of this run stays in the catalogue: {error}"
        CommandConsole(stderr=True).print(line, markup=False, soft_wrap=True)


async def _left(client: Client, items: Items, *, settle: bool) -> Left:
    """The wallet and the stock afterwards; None where the service does not answer.

    An order's failure is published a moment before its stock is restored, so `settle` waits until
    nothing is reserved, with a limit: another client may be ordering too.
    """
    path = f"/products/{items.product}/stock"
    stock = await client.get("product", path)
    end = time.perf_counter() + (_SETTLE_SECONDS if settle else 0)
    while stock and stock["reserved"] and time.perf_counter() < end:
        await asyncio.sleep(_PAUSE_SECONDS)
        stock = await client.get("product", path)
    wallet = await client.get("payment", f"/wallets/{items.customer}")
    known = stock or {"available": None, "reserved": None}
    return Left(wallet and wallet["balance"], known["available"], known["reserved"])
