"""Notifications: a message has passed, so there may be something new to read.

A notification keeps nothing of its message, so its memory does not grow with the traffic.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

FLUSH_TIMEOUT_SECONDS = 1


class Wakeups:
    """The notifications of one connection. `connected` is set while the broker is connected."""

    def __init__(self, client: Client, connected: asyncio.Event) -> None:
        self._client = client
        self._connected = connected
        self._wakeups: set[_Wakeup] = set()
        self._closing: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """Notify all: the stream may be another one now."""
        for wakeup in self._wakeups:
            wakeup.event.set()

    @asynccontextmanager
    async def notifications(self, *subjects: str) -> AsyncIterator[asyncio.Event]:
        """An Event that is set once the subscriptions have begun or failed, and by each message."""
        wakeup = _Wakeup(self._client, self._connected, subjects)
        self._wakeups.add(wakeup)
        try:
            yield wakeup.event
        finally:
            self._wakeups.discard(wakeup)
            # In a task, because nats-py's writer ends when a call of the client is cancelled.
            closing = asyncio.create_task(wakeup.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)


class _Wakeup:
    """The subscriptions behind one Event."""

    def __init__(self, client: Client, connected: asyncio.Event, subjects: Sequence[str]) -> None:
        self.event = asyncio.Event()
        self._client = client
        self._connected = connected
        self._subjects = subjects
        self._subscriptions: list[Subscription] = []
        self._has_begun = False
        self._subscribing = asyncio.create_task(self._subscribe())
        self._subscribing.add_done_callback(lambda _: self.event.set())

    async def close(self) -> None:
        """Unsubscribe; without having subscribed if the broker was not connected yet."""
        if not self._has_begun:
            self._subscribing.cancel()
            return
        await self._subscribing
        for subscription in self._subscriptions:
            with suppress(NatsError):
                await subscription.unsubscribe()

    async def _subscribe(self) -> None:
        await self._connected.wait()  # the client forgets subscriptions from before its connection
        self._has_begun = True
        with suppress(NatsError, TimeoutError):
            for subject in self._subjects:  # one by one, because the next one may fail
                subscription = await self._client.subscribe(subject, cb=self._on_message)
                self._subscriptions.append(subscription)
            await self._client.flush(FLUSH_TIMEOUT_SECONDS)

    async def _on_message(self, _: Msg) -> None:
        self.event.set()
