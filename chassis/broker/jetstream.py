"""JetStream: one participant's connection, over which it publishes, consumes and reads.

It connects in the background and retries without end, so a service starts, and accepts commands,
while the broker is away. The outbox is the source of truth and the broker's store a copy of it.
Therefore JetStream's default synchronisation is enough, with which an acknowledged message may be
lost when the machine loses power.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress

from nats.errors import Error as NatsError
from nats.errors import StaleConnectionError, UnexpectedEOF

from chassis.broker.access import connect_options
from chassis.broker.consumer import Consumer
from chassis.broker.declaration import Declaration
from chassis.broker.nats_client import NatsClient
from chassis.broker.publisher import Publisher
from chassis.broker.stream_reader import API_TIMEOUT_SECONDS, StreamReader
from chassis.broker.wakeups import Wakeups
from chassis.observability.outage_log import OutageLog
from chassis.ports import OutgoingMessage, Receiver, StoredMessage, StreamPosition, StreamState
from chassis.settings import Settings
from saga.choreography.permissions import inbox_prefix
from saga.errors import BrokerAway, Outage
from saga.reactions import Reactions

log = logging.getLogger(__name__)

RECONNECT_SECONDS = 0.25
PING_SECONDS = 3
MAX_UNANSWERED_PINGS = 2
CLOSE_SECONDS = 2.0


class JetStream:
    """A `Broker` for one participant, which the settings say how to reach.

    In recovery mode it delivers everything that the streams hold once more. Raises
    ConfigurationError.
    """

    def __init__(self, registry: Reactions, settings: Settings) -> None:
        self._registry = registry
        self._settings = settings
        self._options = connect_options(settings)
        self._client = NatsClient()
        self._outage = OutageLog("the broker")
        self._stopping = False
        self._connected = asyncio.Event()
        self._connecting: asyncio.Task[None] | None = None
        self._consumers: list[Consumer] = []
        self._wakeups = Wakeups(self._client, self._connected)
        self._reader = StreamReader(self._client, registry.contract)
        self._declaration = Declaration(self._client, registry, settings)
        self._publisher = Publisher(self._client, registry.contract, self._reader.event_at)

    @property
    def connected(self) -> bool:
        return self._connected.is_set() and self._client.is_connected

    @property
    def is_full(self) -> bool:
        return self._publisher.is_refused_for_space

    async def start(
        self, receive: Receiver, room: Callable[[], int], verify: Callable[[], Awaitable[None]]
    ) -> None:
        self._verify = verify
        self._consumers = [
            Consumer(self._client, stream.name, self._registry.service, receive, room, self.declare)
            for stream in self._registry.consumed_streams
        ]
        self._connecting = asyncio.create_task(self._connect())

    async def wait_connected(self) -> None:
        await self._connected.wait()

    async def publish(self, messages: Sequence[OutgoingMessage]) -> list[int | None]:
        return await self._publisher.publish(messages)

    def resume(self) -> None:
        for consumer in self._consumers:
            consumer.resume()

    async def stop_delivering(self) -> None:
        await asyncio.gather(*(consumer.stop() for consumer in self._consumers))

    async def stop(self) -> None:
        """Send the last acknowledgements, and close the connection.

        A broker that does not answer costs `CLOSE_SECONDS` for each.
        """
        self._stopping = True
        self._connected.clear()
        if self._connecting is None:
            return
        if not self._connecting.done():
            self._connecting.cancel()
            with suppress(asyncio.CancelledError):
                await self._connecting
        if self._client.is_connected:
            with suppress(NatsError, OSError, TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._client.flush(1)
        with suppress(NatsError, OSError, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._client.close()

    async def declare(self) -> None:
        """Create missing streams and durables. Raises NatsError and TimeoutError."""
        await self._declaration.make()
        self._reader.generation += 1
        self._wakeups.wake()

    async def history(self, subject: str) -> list[StoredMessage]:
        return await self._reader.history(subject)

    async def history_since(
        self, subject: str, place: StreamPosition
    ) -> tuple[list[StoredMessage], StreamPosition]:
        return await self._reader.history_since(subject, place)

    async def read(self, subjects: Sequence[str], after: int) -> list[StoredMessage]:
        return await self._reader.read(subjects, after)

    async def last(self, subject: str) -> StoredMessage | None:
        return await self._reader.last(subject)

    async def stream_state(self, stream: str) -> StreamState:
        return await self._reader.stream_state(stream)

    async def gaps(self, stream: str) -> Sequence[int]:
        return await self._reader.gaps(stream)

    async def event_at(self, stream: str, sequence: int) -> str | None:
        return await self._reader.event_at(stream, sequence)

    async def count(self, subject: str) -> int:
        return await self._reader.count(subject)

    async def purge(self, stream: str, subject: str) -> None:
        if not self.connected:  # the client would send the request later
            raise BrokerAway("not connected, or the streams are not verified yet")
        jetstream = self._client.jetstream(timeout=API_TIMEOUT_SECONDS)
        try:
            await jetstream.purge_stream(stream, subject=subject)
        except (NatsError, TimeoutError, OSError) as error:
            raise BrokerAway(repr(error)) from error

    async def undelivered(self) -> int:
        if not self.connected:  # until the streams are verified, they may be those of before
            raise BrokerAway("not connected, or the streams are not verified yet")
        jetstream = self._client.jetstream(timeout=API_TIMEOUT_SECONDS)
        streams = [stream.name for stream in self._registry.consumed_streams]
        try:
            found = [
                await jetstream.consumer_info(stream, self._registry.service) for stream in streams
            ]
        except (NatsError, TimeoutError, OSError) as error:
            raise BrokerAway(repr(error)) from error
        return sum((each.num_pending or 0) + (each.num_ack_pending or 0) for each in found)

    def notifications(self, *subjects: str) -> AbstractAsyncContextManager[asyncio.Event]:
        return self._wakeups.notifications(*subjects)

    async def _connect(self) -> None:
        while True:
            try:
                await self._client.connect(
                    **self._options,
                    name=self._settings.instance,
                    inbox_prefix=inbox_prefix(self._registry.service),
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=RECONNECT_SECONDS,  # type: ignore[arg-type]  # takes fractions
                    ping_interval=PING_SECONDS,
                    max_outstanding_pings=MAX_UNANSWERED_PINGS,
                    error_cb=self._on_error,
                    disconnected_cb=self._on_disconnect,
                    reconnected_cb=self._on_connect,
                )
                break
            except (NatsError, OSError, TimeoutError) as error:
                self._outage.failed(error)
                await asyncio.sleep(RECONNECT_SECONDS)
        await self._on_connect()

    async def _on_error(self, error: Exception) -> None:
        """The client has failed to connect, has lost the connection, or was refused a subject."""
        is_lost = isinstance(error, UnexpectedEOF | StaleConnectionError | OSError)
        if is_lost or not self.connected:
            self._outage.failed(error)
        else:
            log.warning("the broker's connection reports an error", extra={"error": str(error)})

    async def _on_disconnect(self) -> None:
        if not self._stopping:
            self._outage.failed("the connection was lost")
        self._connected.clear()
        self._publisher.give_up()

    async def _on_connect(self) -> None:
        """Create what is missing on the broker, verify the streams, then begin to consume."""
        while self._client.is_connected:
            try:
                await self.declare()
                await self._publisher.start()
                await self._verify()
                for consumer in self._consumers:
                    await consumer.start()
            except (NatsError, TimeoutError, Outage) as error:
                self._outage.failed(error)
                await asyncio.sleep(RECONNECT_SECONDS)
            else:
                self._connected.set()
                self._outage.ended()
                log.info("connected to the broker", extra={"server": _server_of(self._client)})
                return


def _server_of(client: NatsClient) -> str:
    url = client.connected_url
    return url.netloc if url else ""
