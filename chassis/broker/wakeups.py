"""Noticing that a message went by: a call to look again, and no more than that.

Nothing is kept of the message itself, so a listener takes the same memory however much goes by.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

FLUSH_TIMEOUT_SECONDS = 1


class Wakeups:
    """Those of one connection. `connected` is set while the broker can be talked to."""

    def __init__(self, client: Client, connected: asyncio.Event) -> None:
        self._client = client
        self._connected = connected
        self._looks: set[asyncio.Event] = set()
        self._leaving: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """Let all of them look again."""
        for look in self._looks:
            look.set()

    @asynccontextmanager
    async def notifications(self, *subjects: str) -> AsyncIterator[asyncio.Event]:
        """Set when listening has begun, and whenever a message goes by or all are woken."""
        look = asyncio.Event()
        subscriptions: list[Subscription] = []
        has_begun = False

        async def note(_: Msg) -> None:
            look.set()

        async def listen() -> None:
            nonlocal has_begun
            await self._connected.wait()  # the client forgets what it is asked for too early
            has_begun = True
            with suppress(NatsError, TimeoutError):
                for subject in subjects:  # noted one by one, for the next one may fail
                    subscription = await self._client.subscribe(subject, cb=note)
                    subscriptions.append(subscription)
                await self._client.flush(FLUSH_TIMEOUT_SECONDS)

        async def leave() -> None:
            await subscribing
            for subscription in subscriptions:
                with suppress(NatsError):
                    await subscription.unsubscribe()

        # In tasks that nobody cancels: nats-py's writer dies when a call is cancelled half way.
        subscribing = asyncio.create_task(listen())
        subscribing.add_done_callback(lambda _: look.set())
        self._looks.add(look)
        try:
            yield look
        finally:
            self._looks.discard(look)
            if has_begun:
                leaving = asyncio.create_task(leave())
                self._leaving.add(leaving)
                leaving.add_done_callback(self._leaving.discard)
            else:
                subscribing.cancel()
