"""`make load`: place many orders at once on the running stack, and wait for the end of each.

    python -m bench.load --orders 100 --concurrency 100

Every order is the same: three coffees of one customer. An order has ended when its OrderCompleted
or OrderFailed has arrived from the broker; nothing is polled. Exits with 1 when an order was
refused or has not ended in time.
"""

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import Coroutine
from itertools import repeat
from typing import Any, TypeVar

import aiohttp
import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.figures import Figures, Left, figures, show
from infra.stack import addresses, broker, console, processes
from infra.stack.config import Stack
from tests.kit.client import COFFEE, RICH, Json, Shop, UnexpectedResponse, open_shop, order

QUANTITY = 3
MAX_ORDERS = 1_000_000
MAX_AT_ONCE = 10_000
_SETTLE_SECONDS = 5.0
_PAUSE_SECONDS = 0.05

T = TypeVar("T")


class Run:
    """Orders sent, accepted and ended. Times are of one monotonic clock, in seconds.

    An order's end may arrive before the response to its POST: the order's id matches them.
    """

    def __init__(self, progress: Progress, orders: int) -> None:
        self.sent_at: dict[str, float] = {}
        self.ended_at: dict[str, float] = {}
        self.ends: dict[str, str] = {}
        self.refused = Counter[str]()
        self.post_seconds: list[float] = []
        self.first_sent_at = self.last_answer_at = time.perf_counter()
        self._left = orders
        self._matched = 0
        self._all_ended = asyncio.Event()
        self._progress = progress
        self._task = progress.add_task("orders ended", total=orders)

    def accept(self, order_id: str, sent_at: float) -> None:
        self.sent_at[order_id] = sent_at
        self._answered(sent_at)
        if order_id in self.ends:
            self._match()

    def refuse(self, why: str) -> None:
        self.refused[why] += 1
        self._answered(None)

    def ended(self, order_id: str, end: str) -> None:
        """The end of any order on this stack; only those of this run are matched."""
        if order_id not in self.ends:
            self.ends[order_id] = end
            self.ended_at[order_id] = time.perf_counter()
            if order_id in self.sent_at:
                self._match()

    async def all_ended(self, timeout_seconds: float) -> None:
        """Wait for the last end, or for the time-out."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._all_ended.wait()
        except TimeoutError:
            return

    @property
    def not_ended(self) -> list[str]:
        return [order_id for order_id in self.sent_at if order_id not in self.ends]

    def _answered(self, sent_at: float | None) -> None:
        self._left -= 1
        self.last_answer_at = time.perf_counter()
        if sent_at is not None:
            self.post_seconds.append(self.last_answer_at - sent_at)
        else:
            self._progress.update(self._task, total=len(self.sent_at) + self._left)
        self._check()

    def _match(self) -> None:
        self._matched += 1
        self._progress.update(self._task, completed=self._matched)
        self._check()

    def _check(self) -> None:
        if not self._left and self._matched == len(self.sent_at):
            self._all_ended.set()


def main() -> int:
    arguments = _parser().parse_args()
    return console.run(lambda: _run(arguments), aiohttp.ClientError, NatsError, OSError)


def _run(arguments: argparse.Namespace) -> int:
    result = asyncio.run(_load(processes.running_stack(), arguments))
    if arguments.json:
        print(msgspec.json.format(msgspec.json.encode(result), indent=2).decode())
    else:
        show(result, Console())
    return 0 if result.went_well else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.load",
        description="Place many orders at once, and wait for the end of each.",
    )
    parser.add_argument(
        "--orders", type=_whole(MAX_ORDERS), default=100, help="how many (default: %(default)s)"
    )
    parser.add_argument(
        "--concurrency",
        type=_whole(MAX_AT_ONCE),
        default=100,
        help="how many POSTs at once (default: %(default)s)",
    )
    parser.add_argument(
        "--timeout-seconds",
        type=_whole(86_400),
        default=60,
        help="how long to wait for the last end after the last POST (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    return parser


class _whole:  # noqa: N801 - used like a function: argparse calls it on the text
    """A whole number from 1 to `maximum`."""

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum

    def __call__(self, text: str) -> int:
        if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= self._maximum:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a whole number from 1 to {self._maximum}"
            )
        return int(text)


async def _load(stack: Stack, arguments: argparse.Namespace) -> Figures:
    async with broker.observing(stack) as observer, open_shop(addresses.values(stack)) as shop:
        with _bar(quiet=arguments.json) as progress:
            run = Run(progress, arguments.orders)
            await _watch(observer, run)
            await _place_all(shop, run, arguments)
            await run.all_ended(arguments.timeout_seconds)
        return figures(
            ended_at=run.ended_at,
            ends=run.ends,
            sent_at=run.sent_at,
            post_seconds=run.post_seconds,
            refused=run.refused,
            span=(run.first_sent_at, run.last_answer_at),
            left=await _left(shop, settle=not run.not_ended),
        )


def _bar(*, quiet: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=quiet)
    shown = console.is_terminal  # piped, it would print nothing but its last state
    return Progress(*columns, TimeElapsedColumn(), console=console, disable=not shown)


async def _watch(observer: Client, run: Run) -> None:
    """Subscribe before the first order is placed, so that no end is missed."""

    async def completed(message: Msg) -> None:
        run.ended(message.subject.split(".")[1], "COMPLETED")

    async def failed(message: Msg) -> None:
        reason = msgspec.json.decode(message.data).get("reason", "no reason")
        run.ended(message.subject.split(".")[1], f"FAILED {reason}")

    await observer.subscribe("saga.*.OrderCompleted", cb=completed)
    await observer.subscribe("saga.*.OrderFailed", cb=failed)
    await observer.flush()


async def _place_all(shop: Shop, run: Run, arguments: argparse.Namespace) -> None:
    bodies = repeat(order(RICH, (COFFEE, QUANTITY)), arguments.orders)  # shared by the workers

    async def work() -> None:
        for body in bodies:
            await _place(shop, body, run)

    workers = min(arguments.concurrency, arguments.orders)
    await asyncio.gather(*(work() for _ in range(workers)))


async def _place(shop: Shop, body: Json, run: Run) -> None:
    sent_at = time.perf_counter()
    try:
        response = await shop.call("order", "POST", "/api/v1/orders", body)
    except (aiohttp.ClientError, TimeoutError) as error:
        run.refuse(f"no answer ({type(error).__name__})")
        return
    if response.status == 202:
        run.accept(str(response.body["orderId"]), sent_at)
    else:
        is_error = isinstance(response.body, dict)
        run.refuse(f"{response.status} {response.body['error'] if is_error else 'not JSON'}")


async def _left(shop: Shop, *, settle: bool) -> Left:
    """The wallet and the stock afterwards; None where the service does not answer.

    An order's failure is published a moment before its stock is restored, so `settle` waits until
    nothing is reserved, with a limit: another client may be ordering too.
    """
    stock = await _answer(shop.stock(COFFEE))
    end = time.perf_counter() + (_SETTLE_SECONDS if settle else 0)
    while stock and stock[1] and time.perf_counter() < end:
        await asyncio.sleep(_PAUSE_SECONDS)
        stock = await _answer(shop.stock(COFFEE))
    available, reserved = stock or (None, None)
    return Left(await _answer(shop.balance(RICH)), available, reserved)


async def _answer(call: Coroutine[Any, Any, T]) -> T | None:
    """None without an answer: the orders' figures are worth showing all the same."""
    try:
        return await call
    except (UnexpectedResponse, aiohttp.ClientError, TimeoutError):
        return None


if __name__ == "__main__":
    sys.exit(main())
