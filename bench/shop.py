"""This shop under load: a stack of its own, orders for it, and the resources of its processes."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

from bench.generator import COMPLETED
from bench.wire import Connection, request
from infra.stack import pids
from tests.kit.client import SERVICES, Shop, open_shop, order
from tests.kit.stack import running_stack

SENDER = "dataplatform"
SAGA_SERVICES = tuple(service for service in SERVICES if service != SENDER)
PARTS = (*SAGA_SERVICES, "nats")
PRODUCTS = 20
CUSTOMERS = 50
STOCK = 100_000_000
BALANCE = 1_000_000_000
_ENDS = {"OrderCompleted": COMPLETED, "OrderFailed": "FAILED", "OrderCancelled": "CANCELLED"}

_read = msgspec.json.Decoder(dict[str, Any]).decode


class ShopTarget:
    """Places orders of one item each, by many customers for many products.

    Their ends arrive from the broker, as at any participant. An end may arrive before the answer to
    its POST.
    """

    def __init__(self, shop: Shop, bodies: Sequence[Mapping[str, object]]) -> None:
        self.url = shop.environment["ORDER_URL"]
        self._shop = shop
        self._bodies = bodies
        self._prepare()
        self._ended: dict[str, asyncio.Future[str]] = {}

    def another(self, bodies: Sequence[Mapping[str, object]]) -> "ShopTarget":
        """Other orders of the same shop."""
        target = ShopTarget(self._shop, bodies)
        target._ended = self._ended
        return target

    async def post(self, connection: Connection) -> Awaitable[str]:
        if self._token != self._shop.access_token:
            self._prepare()
        answer = await connection.send(next(self._requests))
        if answer.status == 202:
            return self._end(str(_read(answer.body)["orderId"]))
        error = _read(answer.body).get("error")
        return _known(f"{answer.status} {error}{' with Retry-After' * answer.retry_after}")

    def _prepare(self) -> None:
        """The requests' bytes, again with each new access token."""
        self._token = self._shop.access_token
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else None
        url = f"{self.url}/api/v1/orders"
        self._requests = cycle([request("POST", url, body, headers) for body in self._bodies])

    async def listen(self, observer: Client) -> None:
        """Subscribe to the ends of orders."""
        for name in _ENDS:
            await observer.subscribe(f"saga.*.{name}", cb=self._receive)
        await observer.flush()

    async def _receive(self, message: Msg) -> None:
        _, order_id, name = message.subject.split(".")
        end = self._end(order_id)
        if not end.done():
            end.set_result(_ENDS[name])

    def _end(self, order_id: str) -> asyncio.Future[str]:
        """Created by the first of answer and event, and removed by the second."""
        if end := self._ended.pop(order_id, None):
            return end
        end = self._ended[order_id] = asyncio.get_running_loop().create_future()
        return end


@contextmanager
def stack(**settings: str) -> Iterator[Mapping[str, str]]:
    """Run a stack in a temporary folder. Yields its environment."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        running_stack(Path(folder), **settings) as environment,
    ):
        yield environment


@asynccontextmanager
async def opened(environment: Mapping[str, str]) -> AsyncIterator[tuple[Shop, ShopTarget]]:
    """A running stack with stock and money for any number of orders.

    The data platform's sender is stopped. It works at the lowest priority after orders have ended:
    after a minute of load for many minutes, which would disturb the next measurement.
    """
    async with open_shop(environment) as shop, shop.nats("observer") as observer:
        await asyncio.to_thread(shop.command, "stop", SENDER)
        products = [await shop.create_product(1_000, STOCK) for _ in range(PRODUCTS)]
        customers = [await shop.create_wallet(BALANCE) for _ in range(CUSTOMERS)]
        pairs = zip(cycle(products), customers * PRODUCTS, strict=False)
        bodies = [order(customer, (product, 1)) for product, customer in pairs]
        target = ShopTarget(shop, bodies)
        await target.listen(observer)
        yield shop, target


class Use(msgspec.Struct, frozen=True):
    """The resources of a process: CPU since its start, and its memory."""

    cpu_seconds: float
    memory_mib: float


def use(environment: Mapping[str, str]) -> dict[str, Use]:
    """Of each part, from /proc (Linux)."""
    folder = Path(environment["STATE_DIR"])
    return {part: _use(pid) for part in PARTS if (pid := pids.alive(folder, part))}


def disk_bytes(environment: Mapping[str, str]) -> dict[str, int]:
    """The size of the databases (`db`) and of the broker's store (`nats`)."""
    folder = Path(environment["STATE_DIR"])
    return {
        place: sum(f.stat().st_blocks * 512 for f in (folder / place).rglob("*") if f.is_file())
        for place in ("db", "nats")
    }


def _use(pid: int) -> Use:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    memory = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    ticks = int(fields[11]) + int(fields[12])
    return Use(ticks / os.sysconf("SC_CLK_TCK"), memory / 1024)


def _known(result: str) -> asyncio.Future[str]:
    end: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    end.set_result(result)
    return end
