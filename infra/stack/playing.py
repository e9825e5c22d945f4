"""Playing one order of the demo: place it, print its events as they come, compare its end."""

import asyncio
import time
from typing import Any

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from rich.console import Console

from infra.stack.shopping import Product, Shop
from saga import envelope

_END_SECONDS = 20.0
_LOOK_SECONDS = 0.02
_COLOURS = {"order": "cyan", "coupon": "magenta", "product": "blue", "payment": "green"}


class Ending(msgspec.Struct, frozen=True):
    """How an order should end: its status, its failReason, and all of its events."""

    status: str
    reason: str | None
    events: tuple[str, ...]


class Played(msgspec.Struct, frozen=True):
    """An order that was played. `wrong` lists what is not as it should be."""

    order_id: str
    order: dict[str, Any]
    wrong: tuple[str, ...]
    line: str = ""

    def told(self, line: str, **compared: tuple[object, object]) -> "Played":
        """The same, with the outcome in a line and more to compare: what is, what should be."""
        wrong = [
            f"{name} is {found}, not {right}"
            for name, (found, right) in compared.items()
            if found != right
        ]
        return msgspec.structs.replace(self, line=line, wrong=(*self.wrong, *wrong))


class _Seen(msgspec.Struct, frozen=True):
    """An event, when it arrived here."""

    name: str
    service: str
    event_id: str
    cause_id: str | None
    seen_at: float


def close(played: Played, console: Console) -> bool:
    """Print the outcome in a line. True when it is what it should be."""
    reason = played.order["failReason"]
    status = played.order["status"] + (f" ({reason})" if reason else "")
    mark = "[bold red]x" if played.wrong else "[bold green]=>"
    console.print(f"   {mark} {status}[/]: {played.line}", soft_wrap=True)
    for wrong in played.wrong:
        console.print(f"      [red]wrong: {wrong}[/]", soft_wrap=True)
    return not played.wrong


def _ended(played: Played, order: dict[str, Any], names: list[str], ending: Ending) -> Played:
    """The order as it is now, compared with how it should have ended."""
    return msgspec.structs.replace(played, order=order).told(
        "",
        status=(order["status"], ending.status),
        events=(sorted(names), sorted(ending.events)),
    )


class Stage:
    """Listens to every order: an order's first events may pass before its id is known here."""

    def __init__(
        self,
        observer: Client,
        shop: Shop,
        console: Console,
        *,
        end_seconds: float = _END_SECONDS,
    ) -> None:
        self._observer = observer
        self._shop = shop
        self._console = console
        self._end_seconds = end_seconds
        self._events: dict[str, asyncio.Queue[_Seen]] = {}

    async def open(self) -> None:
        await self._observer.subscribe("saga.>", cb=self._note)
        await self._observer.flush()

    def tell(self, line: str) -> None:
        self._console.print(f"   {line}", soft_wrap=True)

    async def play(self, body: Any, ending: Ending) -> Played:
        """Place the order and print its events until all that belong to it have come."""
        self._events.clear()
        sent_at = time.perf_counter()
        order_id = await self._shop.place(body)
        self.tell(f"[dim]order {order_id}[/]")
        seen = await self._print_events(order_id, ending, sent_at)
        order = await self._order(order_id, ending)
        played = Played(order_id, order, ()).told(
            "",
            status=(order["status"], ending.status),
            failReason=(order["failReason"], ending.reason),
        )
        names = [event.name for event in seen]
        missing = [name for name in ending.events if name not in names]
        if missing:
            what = f"{', '.join(missing)} did not come within {self._end_seconds:g} s"
            return msgspec.structs.replace(played, wrong=(*played.wrong, what))
        return played.told("", events=(sorted(names), sorted(ending.events)))

    async def cancel(self, played: Played, ending: Ending) -> Played:
        """Cancel an order that was played, and print the events of that."""
        asked_at = time.perf_counter()
        path = f"/api/v1/orders/{played.order_id}/cancel"
        order = await self._shop.call("order", "POST", path)
        seen = await self._print_events(played.order_id, ending, asked_at)
        return _ended(played, order, [event.name for event in seen], ending)

    async def bring_in(
        self, played: Played, product: Product, quantity: int, ending: Ending
    ) -> Played:
        """Bring in stock for an order that waits for it, and print the events of that."""
        brought_at = time.perf_counter()
        await self._shop.bring_in(product, quantity)
        seen = await self._print_events(played.order_id, ending, brought_at)
        order = await self._order(played.order_id, ending)
        return _ended(played, order, [event.name for event in seen], ending)

    async def follow(self, body: Any, ending: Ending) -> Played:
        """Place the order and print what its live events tell a client, as the client gets it."""
        order_id = await self._shop.place(body)
        path = f"/api/v1/orders/{order_id}/events"
        self.tell(f"[dim]GET {path}[/]")
        names = []
        async with asyncio.timeout(self._end_seconds):
            async for name, data in self._shop.events(path):
                names.append(name)
                self._console.print(f"      event: {name}", soft_wrap=True)
                self._console.print(f"      [dim]data: {data}[/]", soft_wrap=True, markup=True)
        order = await self._shop.call("order", "GET", f"/api/v1/orders/{order_id}")
        return _ended(Played(order_id, order, ()), order, names, ending)

    async def _order(self, order_id: str, ending: Ending) -> dict[str, Any]:
        """The order, once it is as it should be, or after a while as it is then: an event passes
        here before the order service has heard it."""
        end = time.monotonic() + self._end_seconds
        while True:
            order: dict[str, Any] = await self._shop.call(
                "order", "GET", f"/api/v1/orders/{order_id}"
            )
            if order["status"] == ending.status or time.monotonic() > end:
                return order
            await asyncio.sleep(_LOOK_SECONDS)

    async def _note(self, message: Msg) -> None:
        seen_at = time.perf_counter()
        headers = message.headers or {}
        event = _Seen(
            name=message.subject.rpartition(".")[2],
            service=headers.get(envelope.SOURCE, "?"),
            event_id=headers.get(envelope.EVENT_ID, ""),
            cause_id=headers.get(envelope.CAUSE),
            seen_at=seen_at,
        )
        self._queue(message.subject.split(".")[1]).put_nowait(event)

    def _queue(self, order_id: str) -> asyncio.Queue[_Seen]:
        return self._events.setdefault(order_id, asyncio.Queue())

    async def _print_events(self, order_id: str, ending: Ending, sent_at: float) -> list[_Seen]:
        """Each event as it comes, one step further to the right than the one that caused it."""
        seen: dict[str, _Seen] = {}
        depths: dict[str | None, int] = {}
        try:
            async with asyncio.timeout(self._end_seconds):
                while not set(ending.events) <= {event.name for event in seen.values()}:
                    event = await self._queue(order_id).get()
                    if event.event_id in seen:
                        continue  # said again
                    seen[event.event_id] = event
                    depths[event.event_id] = depths.get(event.cause_id, -1) + 1
                    cause = seen.get(event.cause_id or "")
                    self._print(event, cause, depths[event.event_id], sent_at)
        except TimeoutError:
            pass  # what is missing is told with the outcome
        return list(seen.values())

    def _print(self, event: _Seen, cause: _Seen | None, depth: int, sent_at: float) -> None:
        after = f"{(event.seen_at - sent_at) * 1000:.0f} ms"
        colour = _COLOURS.get(event.service, "white")
        name = f"{'  ' * depth}{event.name}"
        because = f"[dim]after {cause.name}[/]" if cause else ""
        self._console.print(
            f"   {after:>8}  [{colour}]{event.service:<8}[/]  {name:<28}{because}".rstrip(),
            soft_wrap=True,
        )
