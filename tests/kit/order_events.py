"""A client that follows an order's events live, as a browser's EventSource does."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import aiohttp

from tests.kit.client import Json, Shop


class LiveEvent(NamedTuple):
    """One server-sent event."""

    id: str
    name: str
    data: Json


class OrderEvents:
    """`received`: the events so far, without heartbeats."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.received: list[LiveEvent] = []

    @property
    def names(self) -> list[str]:
        return [each.name for each in self.received]

    async def __aiter__(self) -> AsyncIterator[LiveEvent]:
        """Each event as it arrives, until the response ends."""
        while block := await self._block():
            lines = block.splitlines()
            if all(line.startswith(":") for line in lines):
                continue  # a heartbeat
            fields = dict(line.split(": ", 1) for line in lines)
            assert fields.keys() == {"id", "event", "data"}, fields
            event = LiveEvent(fields["id"], fields["event"], json.loads(fields["data"]))
            self.received.append(event)
            yield event

    async def wait_for(self, name: str) -> None:
        """Read up to the event of this name."""
        async for event in self:
            if event.name == name:
                return
        raise AssertionError(f"the response ended without {name}: {self.names}")

    async def read_to_end(self) -> list[str]:
        """Read all that comes. Returns the names of all events."""
        async for _ in self:
            pass
        return self.names

    async def _block(self) -> str:
        """The lines up to the next empty one; nothing at the end."""
        lines = ""
        while (line := (await self._response.content.readline()).decode()) not in ("\n", ""):
            lines += line
        return lines


@asynccontextmanager
async def follow_order(
    shop: Shop, order_id: str, last_event_id: str | None = None
) -> AsyncIterator[OrderEvents]:
    """Follow an order on a connection of its own, which is closed at the end."""
    url = f"{shop.environment['ORDER_URL']}/api/v1/orders/{order_id}/events"
    headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
    if shop.access_token:
        headers["Authorization"] = f"Bearer {shop.access_token}"
    timeout = aiohttp.ClientTimeout(total=None, sock_read=60)
    async with (
        aiohttp.ClientSession(timeout=timeout) as http,
        http.get(url, headers=headers) as response,
    ):
        assert response.status == 200, await response.text()
        assert response.content_type == "text/event-stream"
        yield OrderEvents(response)
        response.close()


async def events_to_end(
    shop: Shop, order_id: str, last_event_id: str | None = None
) -> list[LiveEvent]:
    """All events of an order up to its end."""
    async with follow_order(shop, order_id, last_event_id) as events:
        await events.read_to_end()
        return events.received
