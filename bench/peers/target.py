"""A peer under load: its answer comes when the order is COMPLETED."""

import asyncio
import itertools
from collections.abc import Awaitable

import msgspec

from bench.peers.steps import CUSTOMERS, PRODUCTS
from bench.wire import Connection, request

_decode = msgspec.json.Decoder(str).decode


class PeerTarget:
    """Places orders of one item each, by many customers for many products."""

    def __init__(self, url: str, path: str) -> None:
        self.url = url
        pairs = itertools.product(range(PRODUCTS), range(CUSTOMERS))
        bodies = [{"customer": who, "product": what, "quantity": 1} for what, who in pairs]
        self._requests = itertools.cycle([request("POST", url + path, body) for body in bodies])

    async def post(self, connection: Connection) -> Awaitable[str]:
        answer = await connection.send(next(self._requests))
        end: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        end.set_result(_decode(answer.body) if answer.status == 200 else str(answer.status))
        return end
