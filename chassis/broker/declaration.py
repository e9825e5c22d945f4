"""Declaring what a participant needs at the broker: its streams and its durable consumers."""

import asyncio
import json
import logging
from collections.abc import Iterable
from contextlib import suppress

from nats.js.api import AckPolicy, ConsumerConfig, ConsumerInfo, StreamConfig
from nats.js.client import JetStreamContext
from nats.js.errors import APIError, NotFoundError

from chassis.broker.nats_client import NatsClient
from chassis.broker.streams import differences, stream_config, stream_settings
from chassis.settings import Settings
from saga.envelope import subject_of
from saga.event import Event, Stream
from saga.reactions import Reactions

log = logging.getLogger(__name__)

ACK_WAIT_SECONDS = 10
MAX_ACK_PENDING = 10_000
# A request to a cluster without a leader gets no answer, also when one is elected meanwhile.
DECLARE_TIMEOUT_SECONDS = 2.0
LEADER_SECONDS = 1.0


class Declaration:
    """The streams and durables of one participant.

    In recovery mode the durables are created again once, and deliver everything a second time.
    """

    def __init__(self, client: NatsClient, registry: Reactions, settings: Settings) -> None:
        self._client = client
        self._registry = registry
        self._settings = settings
        self._from_the_start = settings.recovery_mode
        self._reported: dict[str, str] = {}

    async def make(self) -> None:
        """Create missing streams and durables. Raises NatsError and TimeoutError."""
        jetstream = self._client.jetstream(timeout=DECLARE_TIMEOUT_SECONDS)
        for stream in self._registry.streams:
            await self._declare_stream(jetstream, stream)
        for stream in self._registry.consumed_streams:
            await self._declare_durable(jetstream, stream)
        self._from_the_start = False

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
