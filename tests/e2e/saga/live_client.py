"""A client that follows an order live, as a browser's EventSource would."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import aiohttp

from tests.e2e.saga.broker_stream import headers_of, messages, publish
from tests.kit.client import Json, Shop


class Told(NamedTuple):
    """One event as the client got it."""

    id: str
    event: str
    data: Json


class Following:
    """`told`: what came so far."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.told: list[Told] = []

    @property
    def names(self) -> list[str]:
        return [each.event for each in self.told]

    async def next(self) -> Told | None:
        """The next event; None when the response has come to its end. Passes over heartbeats."""
        while block := await self._block():
            lines = block.splitlines()
            if all(line.startswith(":") for line in lines):
                continue
            fields = dict(line.split(": ", 1) for line in lines)
            told = Told(fields.pop("id"), fields.pop("event"), json.loads(fields.pop("data")))
            assert not fields
            self.told.append(told)
            return told
        return None

    async def until(self, name: str) -> None:
        """Read up to the event of this name."""
        while (told := await self.next()) is not None:
            if told.event == name:
                return
        raise AssertionError(f"the stream ended without {name}: {self.names}")

    async def to_the_end(self) -> list[str]:
        """Read all that comes. Gives the names of all events."""
        while await self.next() is not None:
            pass
        return self.names

    async def _block(self) -> str:
        """The lines up to the next empty one; nothing at the end."""
        lines = ""
        while (line := (await self.response.content.readline()).decode()) not in ("\n", ""):
            lines += line
        return lines


@asynccontextmanager
async def following(
    shop: Shop, order_id: str, last_event_id: str | None = None
) -> AsyncIterator[Following]:
    """Follow an order on a connection of its own, which is cut at the end."""
    url = f"{shop.environment['ORDER_URL']}/api/v1/orders/{order_id}/events"
    headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
    timeout = aiohttp.ClientTimeout(total=None, sock_read=60)
    async with (
        aiohttp.ClientSession(timeout=timeout) as http,
        http.get(url, headers=headers) as response,
    ):
        assert response.status == 200, await response.text()
        assert response.content_type == "text/event-stream"
        yield Following(response)
        response.close()


async def followed(shop: Shop, order_id: str, last_event_id: str | None = None) -> list[Told]:
    """All that is told of an order up to its end."""
    async with following(shop, order_id, last_event_id) as client:
        await client.to_the_end()
        return client.told


async def subscriptions(shop: Shop) -> int:
    """How many subscriptions the instances of the order service have at the broker."""
    url = f"http://127.0.0.1:{shop.environment['NATS_MONITOR_PORT']}/connz?limit=1000"
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        connections = (await answer.json())["connections"]
    mine = [each for each in connections if each.get("name", "").startswith("order-")]
    return sum(each["subscriptions"] for each in mine)


async def listeners(shop: Shop) -> int:
    """How many listeners the order service counts."""
    metrics: str = await shop.get("order", "/metrics")
    [line] = [line for line in metrics.splitlines() if line.startswith("shop_listeners ")]
    return int(float(line.split()[1]))


async def retransmitted(shop: Shop, order_id: str) -> int:
    """Put everything that the stream holds of an order into it once more. Gives how much."""
    async with shop.nats() as client:
        found = await messages(shop, order_id)
        for message in found:
            await publish(client, message.subject or "", message.data, headers_of(message))
    return len(found)
