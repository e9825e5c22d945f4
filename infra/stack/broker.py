"""The broker as the observer, a user that may read everything and change nothing; or as admin."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import msgspec
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoServersError
from nats.js.api import ConsumerInfo
from nats.js.errors import APIError, NotFoundError

from chassis.broker import streams
from chassis.broker.access import connect_options
from chassis.broker.nats_client import NatsClient
from chassis.outbox.reconciliation import RESERVE_RATIO
from chassis.settings import BrokerSettings
from events.contract import CONTRACT
from infra.stack import passwords
from infra.stack.config import Stack, StackError

STREAMS = tuple(stream.name for stream in CONTRACT.streams.values())
TIMEOUT_SECONDS = 3

BYTES_AN_ORDER = 3_700
"""What the events of an order take in the stream (docs/performance.md)."""

DAY_SECONDS = 24 * 3600


class StreamUse(msgspec.Struct, frozen=True, kw_only=True):
    """What a stream holds, and what it may. `max_bytes` is 0 without a limit of its own."""

    name: str
    messages: int
    bytes: int
    max_bytes: int
    held_days: float
    """The age of its first message."""
    max_age_days: float

    @property
    def room_bytes(self) -> int | None:
        """Until no more orders are accepted."""
        if not self.max_bytes:
            return None
        return max(round((1 - RESERVE_RATIO) * self.max_bytes) - self.bytes, 0)

    @property
    def orders_left(self) -> int:
        return (self.room_bytes or 0) // BYTES_AN_ORDER

    @property
    def days_at_this_rate(self) -> float | None:
        """For how many days' orders the limit is enough; None without one, and on the first day."""
        if not self.max_bytes or not self.bytes or self.held_days < 1:
            return None
        return (1 - RESERVE_RATIO) * self.max_bytes / self.bytes * self.held_days


def access(stack: Stack, user: str) -> BrokerSettings:
    """How this user reaches the stack's broker."""
    return BrokerSettings(nats_url=stack.nats_url(user, passwords.load(stack.state_dir)[user]))


@asynccontextmanager
async def observing(stack: Stack) -> AsyncIterator[Client]:
    """A connection as the observer."""
    async with connected(access(stack, "observer")) as client:
        yield client


@asynccontextmanager
async def connected(settings: BrokerSettings) -> AsyncIterator[Client]:
    """A connection to one of the servers, or an error once each has been tried.

    Raises NatsError, OSError, TimeoutError and ConfigurationError.
    """
    client = NatsClient()
    errors: list[Exception] = []

    async def keep(error: Exception) -> None:
        errors.append(error)

    try:
        await client.connect(
            **connect_options(settings),
            # The default is sixty attempts, two seconds apart.
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=TIMEOUT_SECONDS,
            error_cb=keep,
        )
    except NoServersError as error:
        raise errors[-1] if errors else error from None
    try:
        yield client
    finally:
        await client.close()


async def apply_stream_settings(
    settings: BrokerSettings, replicas: int, max_bytes: int
) -> dict[str, str]:
    """Give the streams that exist their settings. Returns what was different, by stream.

    The user has to be one that may change streams. Raises StackError with the broker's text.
    """
    changed = {}
    try:
        async with connected(settings) as client:
            jetstream = client.jetstream(timeout=TIMEOUT_SECONDS)
            for name, stream in CONTRACT.streams.items():
                changed[name] = await streams.apply(jetstream, stream, replicas, max_bytes)
    except APIError as error:
        raise StackError(f"The broker refuses the settings of a stream: {error}") from error
    except (NatsError, OSError, TimeoutError) as error:
        raise StackError(f"The broker can't be asked: {str(error) or error!r}") from error
    return {name: text for name, text in changed.items() if text}


async def stream_uses(client: Client) -> list[StreamUse]:
    """How full each stream is that exists."""
    found = []
    for name in STREAMS:
        reply = await client.request(f"$JS.API.STREAM.INFO.{name}", timeout=TIMEOUT_SECONDS)
        answer = json.loads(reply.data)
        if "error" in answer:
            continue
        state, config = answer["state"], answer["config"]
        age = datetime.fromisoformat(answer["ts"]) - datetime.fromisoformat(state["first_ts"])
        use = StreamUse(
            name=name,
            messages=state["messages"],
            bytes=state["bytes"],
            max_bytes=max(config["max_bytes"], 0),
            held_days=age.total_seconds() / DAY_SECONDS if state["messages"] else 0,
            max_age_days=config["max_age"] / 1e9 / DAY_SECONDS,
        )
        found.append(use)
    return found


async def consumers(client: Client) -> list[ConsumerInfo]:
    """The consumers of all streams; none of a stream that does not exist."""
    found: list[ConsumerInfo] = []
    for stream in STREAMS:
        try:
            found += await client.jetstream(timeout=TIMEOUT_SECONDS).consumers_info(stream)
        except NotFoundError:
            continue
    return sorted(found, key=lambda info: (info.stream_name, info.name))
