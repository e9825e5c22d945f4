"""Place many orders at once on the stack that runs, and follow each one to its end.

    python -m bench.load --orders 100 --concurrency 100

Every order is the same: three coffees of one customer. An order counts as ended when its
OrderCompleted or OrderFailed was seen on the broker; nobody polls. Ends with 1 when an order was
refused at the door or has not ended in time.
"""

import argparse
import asyncio
import sys
import time
from collections import Counter
from itertools import repeat
from typing import Any

import aiohttp
import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.figures import Figures, Left, figures, show
from infra.stack import broker, config, processes
from infra.stack.config import Stack, StackError

CUSTOMER = "3fa85f64-5717-4562-b3fc-2c963f66afa6"
COFFEE = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
QUANTITY = 3

MAX_ORDERS = 1_000_000
MAX_AT_ONCE = 10_000
_ANSWER_SECONDS = 60.0
_SETTLE_SECONDS = 5.0
_PAUSE_SECONDS = 0.05

_body = msgspec.json.encode(
    {"customerId": CUSTOMER, "items": [{"productId": COFFEE, "quantity": QUANTITY}]}
)
_read = msgspec.json.Decoder(dict[str, Any]).decode


class Run:
    """What was sent and seen. Times are of one monotonic clock, in seconds.

    An order's end may be seen before its POST is answered: the two are matched by the order's id,
    whichever comes first.
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

    def accepted(self, order_id: str, sent_at: float) -> None:
        self.sent_at[order_id] = sent_at
        self._answered(sent_at)
        if order_id in self.ends:
            self._match()

    def delivery_failed(self, why: str) -> None:
        self.refused[why] += 1
        self._answered(None)

    def ended(self, order_id: str, end: str) -> None:
        """Of any order on this stack; others than ours are never matched."""
        if order_id not in self.ends:
            self.ends[order_id] = end
            self.ended_at[order_id] = time.perf_counter()
            if order_id in self.sent_at:
                self._match()

    async def all_ended(self, timeout_seconds: float) -> None:
        """Wait for the last end, but not longer than this."""
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
    try:
        result = asyncio.run(_load(_running(), arguments))
    except (StackError, aiohttp.ClientError, NatsError, OSError) as problem:
        emitted = str(problem) if isinstance(problem, StackError) else f"{problem!r}: make status"
        print(emitted, file=sys.stderr)
        return 1
    if arguments.json:
        print(msgspec.json.format(msgspec.json.encode(result), indent=2).decode())
    else:
        show(result, Console())
    return 0 if result.went_well else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.load",
        description="Place many orders at once and follow each one to its end.",
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
        help="how long after the last POST the last order may end (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    return parser


class _whole:  # noqa: N801 - used like a function: argparse calls it on the text
    """A whole number from 1 to the most."""

    def __init__(self, most: int) -> None:
        self._most = most

    def __call__(self, text: str) -> int:
        if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= self._most:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a whole number from 1 to {self._most}"
            )
        return int(text)


def _running() -> Stack:
    stack = config.recorded(config.state_dir())
    if stack is None or not processes.answers(stack):
        raise StackError("The stack is not running. Run: make up")
    return stack


async def _load(stack: Stack, arguments: argparse.Namespace) -> Figures:
    connector = aiohttp.TCPConnector(limit=arguments.concurrency)
    timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
    async with (
        broker.observing(stack) as observer,
        aiohttp.ClientSession(connector=connector, timeout=timeout) as http,
    ):
        with _bar(quiet=arguments.json) as progress:
            run = Run(progress, arguments.orders)
            await _watch(observer, run)
            await _place_all(http, stack, run, arguments)
            await run.all_ended(arguments.timeout_seconds)
        return figures(
            ended_at=run.ended_at,
            ends=run.ends,
            sent_at=run.sent_at,
            post_seconds=run.post_seconds,
            refused=run.refused,
            span=(run.first_sent_at, run.last_answer_at),
            left=await _left(http, stack, settle=not run.not_ended),
        )


def _bar(*, quiet: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=quiet)
    shown = console.is_terminal  # piped, it would print nothing but its last state
    return Progress(*columns, TimeElapsedColumn(), console=console, disable=not shown)


async def _watch(observer: Client, run: Run) -> None:
    """Listen before the first order is placed, so that no end is missed."""

    async def completed(message: Msg) -> None:
        run.ended(message.subject.split(".")[1], "COMPLETED")

    async def failed(message: Msg) -> None:
        reason = _read(message.data).get("reason", "no reason")
        run.ended(message.subject.split(".")[1], f"FAILED {reason}")

    await observer.subscribe("saga.*.OrderCompleted", cb=completed)
    await observer.subscribe("saga.*.OrderFailed", cb=failed)
    await observer.flush()


async def _place_all(
    http: aiohttp.ClientSession, stack: Stack, run: Run, arguments: argparse.Namespace
) -> None:
    url = f"{stack.url('order')}/api/v1/orders"
    to_place = repeat(url, arguments.orders)  # shared: each worker takes the next one

    async def work() -> None:
        for address in to_place:
            await _place(http, address, run)

    workers = min(arguments.concurrency, arguments.orders)
    await asyncio.gather(*(work() for _ in range(workers)))


async def _place(http: aiohttp.ClientSession, url: str, run: Run) -> None:
    sent_at = time.perf_counter()
    try:
        headers = {"Content-Type": "application/json"}
        async with http.post(url, data=_body, headers=headers) as answer:
            content = await answer.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        run.delivery_failed(f"no answer ({type(error).__name__})")
        return
    try:
        body = _read(content)
    except msgspec.DecodeError:
        body = {"error": "not JSON"}
    if answer.status == 202:
        run.accepted(str(body["orderId"]), sent_at)
    else:
        run.delivery_failed(f"{answer.status} {body.get('error')}")


async def _left(http: aiohttp.ClientSession, stack: Stack, *, settle: bool) -> Left:
    """The wallet and the stock afterwards.

    An order is known to have failed a moment before its stock is back, so `settle`: wait until
    nothing is reserved; not for ever, for somebody else may be ordering too.
    """
    balance = await _get(http, f"{stack.url('payment')}/api/v1/wallets/{CUSTOMER}", "balance")
    url = f"{stack.url('product')}/api/v1/products/{COFFEE}/stock"
    end = time.perf_counter() + (_SETTLE_SECONDS if settle else 0)
    while (reserved := await _get(http, url, "reserved")) and time.perf_counter() < end:
        await asyncio.sleep(_PAUSE_SECONDS)
    return Left(balance, await _get(http, url, "available"), reserved)


async def _get(http: aiohttp.ClientSession, url: str, field: str) -> int | None:
    """None when the service can't say: the orders' figures are worth showing all the same."""
    try:
        async with http.get(url) as answer:
            return int(_read(await answer.read())[field]) if answer.status == 200 else None
    except (aiohttp.ClientError, TimeoutError):
        return None


if __name__ == "__main__":
    sys.exit(main())
