"""JetStream: the streams, a participant's durable consumers, publishing and consuming.

It connects in the background and retries without end, so a service starts, and accepts commands,
while the broker is away. The outbox is the source of truth and the broker's store a copy of it.
Therefore JetStream's default synchronisation is enough, with which an acknowledged message may be
lost when the machine loses power.
"""

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any

from nats.errors import ConnectionReconnectingError, StaleConnectionError, UnexpectedEOF
from nats.errors import Error as NatsError
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    ConsumerInfo,
    DiscardPolicy,
    StreamConfig,
    StreamInfo,
)
from nats.js.client import JetStreamContext
from nats.js.errors import APIError, NotFoundError

from chassis.broker.access import connect_options
from chassis.broker.consumer import Consumer
from chassis.broker.nats_client import NatsClient
from chassis.broker.publisher import Publisher
from chassis.broker.streams import differences, stream_config, stream_settings
from chassis.broker.wakeups import Wakeups
from chassis.observability.outage_log import OutageLog
from chassis.ports import (
    START,
    OutgoingMessage,
    Receiver,
    StoredMessage,
    StreamPosition,
    StreamState,
)
from chassis.settings import Settings
from saga.choreography.permissions import inbox_prefix
from saga.envelope import EVENT_ID, subject_of
from saga.errors import BrokerAway, Outage, RetryLater
from saga.event import Event, Stream
from saga.reactions import Reactions

log = logging.getLogger(__name__)

ACK_WAIT_SECONDS = 10
MAX_ACK_PENDING = 10_000
RECONNECT_SECONDS = 0.25
PING_SECONDS = 3
MAX_UNANSWERED_PINGS = 2
API_TIMEOUT_SECONDS = 5.0
# A request to a cluster without a leader gets no answer, also when one is elected meanwhile.
DECLARE_TIMEOUT_SECONDS = 2.0
CLOSE_SECONDS = 2.0
LEADER_SECONDS = 1.0
READ_AT_ONCE = 100
"""So many messages of a subject are read before they are handled."""

_NOT_FOUND = 404


class JetStream:
    """A `Broker` for one participant, which the settings say how to reach.

    In recovery mode it delivers everything that the streams hold once more. Raises
    ConfigurationError.
    """

    def __init__(self, registry: Reactions, settings: Settings) -> None:
        self._registry = registry
        self._settings = settings
        self._from_the_start = settings.recovery_mode
        self._options = connect_options(settings)
        self._client = NatsClient()
        self._outage = OutageLog("the broker")
        self._reported: dict[str, str] = {}
        self._stopping = False
        self._connected = asyncio.Event()
        self._connecting: asyncio.Task[None] | None = None
        self._consumers: list[Consumer] = []
        self._generation = 0
        self._wakeups = Wakeups(self._client, self._connected)
        self._publisher = Publisher(self._client, registry.contract, self.event_at)

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

    async def history(self, subject: str) -> list[StoredMessage]:
        found, _ = await self.history_since(subject, START)
        return found

    async def history_since(
        self, subject: str, place: StreamPosition
    ) -> tuple[list[StoredMessage], StreamPosition]:
        """Read a subject's messages one by one, without a consumer."""
        generation = self._generation
        sequence = place.sequence if place.generation == generation else 0
        try:
            if not self._client.is_connected:  # the client would send the request later
                raise ConnectionReconnectingError
            found = [each async for each in self._stored(subject, sequence)]
        except (NatsError, TimeoutError, OSError) as error:
            raise RetryLater("the event stream can't be read at the moment; try again") from error
        return found, StreamPosition(generation, found[-1].sequence if found else sequence)

    async def read(self, subjects: Sequence[str], after: int) -> list[StoredMessage]:
        """From the leader, since a replica may lag behind. The subjects are read side by side."""
        try:
            pages = await asyncio.gather(*(self._page(subject, after) for subject in subjects))
        except (NatsError, TimeoutError, OSError) as error:
            raise BrokerAway(repr(error)) from error
        # Behind a full page its subject may have more: what comes after that is read later.
        ends = (page[-1].sequence for page in pages if len(page) == READ_AT_ONCE)
        end = min(ends, default=None)
        found = [each for page in pages for each in page if end is None or each.sequence <= end]
        return sorted(found, key=lambda message: message.sequence)

    async def _page(self, subject: str, after: int) -> list[StoredMessage]:
        found: list[StoredMessage] = []
        async for message in self._stored(subject, after):
            found.append(message)
            if len(found) == READ_AT_ONCE:
                break
        return found

    async def last(self, subject: str) -> StoredMessage | None:
        try:
            if not self._client.is_connected:  # the client would send the request later
                raise ConnectionReconnectingError
            stored = await self._get_stored(subject, {"last_by_subj": subject})
            return await self._message(stored) if stored else None
        except (NatsError, TimeoutError, OSError) as error:
            raise BrokerAway(repr(error)) from error

    async def _stored(self, subject: str, after: int) -> AsyncIterator[StoredMessage]:
        """The messages under a subject filter behind a sequence."""
        while stored := await self._get_stored(
            subject, {"seq": after + 1, "next_by_subj": subject}
        ):
            message = await self._message(stored)
            after = message.sequence
            yield message

    async def _message(self, stored: dict[str, Any]) -> StoredMessage:
        headers = await self._client.read_headers(base64.b64decode(stored.get("hdrs", "")))
        body = base64.b64decode(stored.get("data", ""))
        return StoredMessage(stored["subject"], body, headers, stored["seq"])

    async def _get_stored(self, subject: str, wanted: dict[str, Any]) -> dict[str, Any] | None:
        """A message of the stream that has this subject, in the broker's JSON.

        A direct get would be shorter, but it mixes the publisher's headers with the broker's, so
        that a header named Status looks like an error.
        """
        address = f"$JS.API.STREAM.MSG.GET.{self._stream_of(subject)}"
        request = json.dumps(wanted).encode()
        reply = await self._client.request(address, request, timeout=API_TIMEOUT_SECONDS)
        answer: dict[str, Any] = json.loads(reply.data)
        error = answer.get("error")
        if error and error["code"] != _NOT_FOUND:
            raise NatsError(error["description"])
        return answer.get("message")

    def _stream_of(self, subject: str) -> str:
        prefix = subject.partition(".")[0]
        streams = self._registry.contract.streams.values()
        return next(stream.name for stream in streams if stream.prefix == prefix)

    async def stream_state(self, stream: str) -> StreamState:
        answer = await self._stream_info(stream)
        if answer is None:
            return StreamState()
        state, config = answer.state, answer.config
        max_bytes = max(config.max_bytes or 0, 0)  # -1: without a limit
        is_bounded = max_bytes > 0 or (config.max_msgs or 0) > 0
        return StreamState(
            first_sequence=state.first_seq,
            messages=state.messages,
            gaps=state.num_deleted or 0,
            fill_ratio=state.bytes / max_bytes if max_bytes else 0.0,
            max_age_seconds=config.max_age or 0,
            discards_old=is_bounded and config.discard == DiscardPolicy.OLD,
        )

    async def gaps(self, stream: str) -> Sequence[int]:
        answer = await self._stream_info(stream, deleted_details=True)
        return (answer.state.deleted if answer else None) or ()

    async def _stream_info(self, stream: str, **request: bool) -> StreamInfo | None:
        """None if there is no such stream. The client's own call can't ask for the gaps."""
        address = f"$JS.API.STREAM.INFO.{stream}"
        body = json.dumps(request).encode() if request else b""
        try:
            reply = await self._client.request(address, body, timeout=API_TIMEOUT_SECONDS)
            answer: dict[str, Any] = json.loads(reply.data)
            if "error" in answer:
                APIError.from_error(answer["error"])
        except NotFoundError:
            return None
        except (NatsError, TimeoutError, OSError) as error:
            raise BrokerAway(repr(error)) from error
        found: StreamInfo = StreamInfo.from_response(answer)
        return found

    async def event_at(self, stream: str, sequence: int) -> str | None:
        jetstream = self._client.jetstream(timeout=API_TIMEOUT_SECONDS)
        try:
            # From the leader: a replica may lag behind, which is no loss.
            message = await jetstream.get_msg(stream, seq=sequence)
        except NotFoundError:
            return None
        except (NatsError, TimeoutError, OSError) as error:
            raise BrokerAway(repr(error)) from error
        return (message.headers or {}).get(EVENT_ID)

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

    async def declare(self) -> None:
        """Create missing streams and durables. Raises NatsError and TimeoutError."""
        jetstream = self._client.jetstream(timeout=DECLARE_TIMEOUT_SECONDS)
        for stream in self._registry.streams:
            await self._declare_stream(jetstream, stream)
        for stream in self._registry.consumed_streams:
            await self._declare_durable(jetstream, stream)
        self._from_the_start = False
        self._generation += 1
        self._wakeups.wake()

    async def _declare_stream(self, jetstream: JetStreamContext, stream: Stream) -> None:
        copies_and_bytes = self._settings.nats_replicas, self._settings.stream_max_bytes
        # Not created first: the broker would check whether a second one of its size has room.
        found = await _config_of(jetstream, stream)
        if found is None:
            try:
                await jetstream.add_stream(stream_config(stream, *copies_and_bytes))
                return
            except APIError:
                found = await _config_of(jetstream, stream)
                if found is None:
                    raise  # no other service has created it at the same time
        differs = differences(found, stream_settings(stream, *copies_and_bytes))
        if differs and differs != self._reported.get(stream.name):
            log.error(
                "a stream differs from the settings, and is used as it is; an operator applies "
                "them with: python -m ops streams",
                extra={"stream": stream.name, "differences": differs},
            )
        self._reported[stream.name] = differs

    async def _declare_durable(self, jetstream: JetStreamContext, stream: Stream) -> None:
        name, service = stream.name, self._registry.service
        config = durable_config(stream, self._registry)
        if self._from_the_start:
            with suppress(NotFoundError):
                await jetstream.delete_consumer(name, service)
        durable = await jetstream.add_consumer(name, config)
        if await _is_beyond(jetstream, durable):
            # In a cluster a new leader may not have applied its newest messages yet.
            await asyncio.sleep(LEADER_SECONDS)
            if await _is_beyond(jetstream, durable):
                log.error("a durable is beyond its stream: recreated", extra={"stream": name})
                await jetstream.delete_consumer(name, service)
                await jetstream.add_consumer(name, config)


async def _config_of(jetstream: JetStreamContext, stream: Stream) -> StreamConfig | None:
    """None if there is no such stream."""
    try:
        return (await jetstream.stream_info(stream.name)).config
    except NotFoundError:
        return None


async def _is_beyond(jetstream: JetStreamContext, durable: ConsumerInfo) -> bool:
    """True when more was delivered than the stream holds: its store was lost."""
    last = (await jetstream.stream_info(durable.stream_name)).state.last_seq
    return bool(durable.delivered and durable.delivered.stream_seq > last)


def durable_config(stream: Stream, registry: Reactions) -> ConsumerConfig:
    """The participant's durable on a stream. Its metadata name what it handles and may emit."""
    handled = [event for event in registry.handles if event.stream == stream]
    return ConsumerConfig(
        name=registry.service,
        durable_name=registry.service,
        description=f"{registry.service} handles {', '.join(_names(handled))}",
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ACK_WAIT_SECONDS,
        max_deliver=-1,
        max_ack_pending=MAX_ACK_PENDING,
        filter_subjects=sorted(map(subject_of, handled)),
        metadata={  # the keys are read by tools of others, and stay
            "hears": json.dumps(_names(handled)),
            "says": json.dumps(_names(registry.emits)),
        },
    )


def _names(events: Iterable[type[Event]]) -> list[str]:
    return sorted(event.__name__ for event in events)


def _server_of(client: NatsClient) -> str:
    url = client.connected_url
    return url.netloc if url else ""
