"""Places an order, prints its events as they arrive, and compares its end with the expected one."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Awaitable
from contextlib import suppress
from time import perf_counter
from typing import NamedTuple

from nats.aio.client import Client
from nats.aio.msg import Msg
from rich.console import Console

from saga import envelope
from tests.kit.client import Json, Shop, wait_until
from tests.kit.order_events import follow_order

_COLOURS = {"order": "cyan", "coupon": "magenta", "product": "blue", "payment": "green"}


class Expected(NamedTuple):
    """How an order should end. `events`: the names of all its new events, between spaces."""

    status: str
    events: str
    fail_reason: str | None = None


class Stage:
    """Where one order after the other is played. `differences`: from the expected end."""

    def __init__(
        self, observer: Client, shop: Shop, console: Console, *, timeout_seconds: float = 20.0
    ) -> None:
        self._observer = observer
        self._shop = shop
        self._console = console
        self._timeout_seconds = timeout_seconds
        # By order: its first events may arrive before its id is known here.
        self._messages: dict[str, asyncio.Queue[tuple[Msg, float]]] = defaultdict(asyncio.Queue)
        self.order_id = ""
        self.differences: list[str] = []

    async def listen(self) -> None:
        """Receive every order's events."""

        async def receive(message: Msg) -> None:
            self._messages[message.subject.split(".")[1]].put_nowait((message, perf_counter()))

        await self._observer.subscribe("saga.>", cb=receive)
        await self._observer.flush()

    def print(self, line: str, *, markup: bool = True) -> None:
        self._console.print(f"   {line}", markup=markup, soft_wrap=True)

    async def place(self, body: Json, expected: Expected) -> Json:
        """Place the order and print its events. Returns the order."""
        began_at = perf_counter()
        self.order_id = await self._shop.place(body)
        self.print(f"[dim]order {self.order_id}[/]")
        return await self._compare(await self._print_events(expected, began_at), expected)

    async def go_on(self, action: Awaitable[object], expected: Expected) -> Json:
        """Await what gives the order new events, and print those. Returns the order."""
        began_at = perf_counter()
        await action
        return await self._compare(await self._print_events(expected, began_at), expected)

    async def follow_live(
        self, body: Json, expected: Expected, customer: Shop | None = None
    ) -> Json:
        """Place the order and print its server-sent events. Returns the order.

        `customer`: the client of the customer who is signed in.
        """
        shop = customer or self._shop
        self.order_id = await shop.place(body)
        self.print(f"[dim]GET /api/v1/orders/{self.order_id}/events[/]")
        async with (
            asyncio.timeout(self._timeout_seconds),
            follow_order(shop, self.order_id) as events,
        ):
            async for event in events:
                self.print(f"   event: {event.name}")
                data = json.dumps(event.data, separators=(",", ":"))
                self.print(f"   data: {data}", markup=False)
        return await self._compare(events.names, expected)

    def check(self, what: str, found: object, expected: object) -> None:
        if found != expected:
            self.differences.append(f"{what} is {found}, not {expected}")

    def conclude(self, order: Json, line: str) -> bool:
        """Print the outcome in a line. True when it is the expected one."""
        differences, self.differences = self.differences, []
        status, reason = order["status"], order["failReason"]
        mark = "[bold red]x" if differences else "[bold green]=>"
        self.print(f"{mark} {status}{f' ({reason})' if reason else ''}[/]: {line}")
        for difference in differences:
            self.print(f"   [red]wrong: {difference}[/]")
        return not differences

    async def _compare(self, names: list[str], expected: Expected) -> Json:
        path = f"/api/v1/orders/{self.order_id}"

        async def has_status() -> bool:
            order: Json = await self._shop.get("order", path)
            return bool(order["status"] == expected.status)

        # An event arrives here before the order service has handled it. What the order then lacks
        # is a difference.
        with suppress(AssertionError):
            await wait_until(has_status, "the order has ended", self._timeout_seconds)
        order: Json = await self._shop.get("order", path)
        self.check("status", order["status"], expected.status)
        self.check("failReason", order["failReason"], expected.fail_reason)
        awaited = expected.events.split()
        if missing := [name for name in awaited if name not in names]:
            what = f"{', '.join(missing)} did not come within {self._timeout_seconds:g} s"
            self.differences.append(what)
        else:
            self.check("events", sorted(names), sorted(awaited))
        return order

    async def _print_events(self, expected: Expected, began_at: float) -> list[str]:
        """Print each event one step further to the right than its cause. Returns their names."""
        printed: dict[str, tuple[str, int]] = {}  # name and depth, by the event's id
        with suppress(TimeoutError):  # a missing event is a difference
            async with asyncio.timeout(self._timeout_seconds):
                while not set(expected.events.split()) <= {name for name, _ in printed.values()}:
                    message, arrived_at = await self._messages[self.order_id].get()
                    headers = message.headers or {}
                    event_id = headers.get(envelope.EVENT_ID, "")
                    if event_id in printed:
                        continue  # a retransmission
                    cause, depth = printed.get(headers.get(envelope.CAUSE, ""), ("", -1))
                    name = message.subject.rpartition(".")[2]
                    printed[event_id] = (name, depth + 1)
                    milliseconds = (arrived_at - began_at) * 1000
                    because = f"[dim]after {cause}[/]" if cause else ""
                    indented = "  " * (depth + 1) + name
                    service = headers.get(envelope.SOURCE, "?")
                    shown = f"[{_COLOURS.get(service, 'white')}]{service:<8}[/]"
                    self.print(
                        f"{milliseconds:>5.0f} ms  {shown}  {indented:<28}{because}".rstrip()
                    )
        return [name for name, _ in printed.values()]
