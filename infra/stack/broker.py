"""The broker as the observer, a user that may read everything and change nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nats.aio.client import Client
from nats.js.api import ConsumerInfo
from nats.js.errors import NotFoundError

from chassis.broker.nats_client import NatsClient
from infra.stack import passwords
from infra.stack.config import Stack

STREAMS = ("SAGA", "CATALOG")
TIMEOUT_SECONDS = 3


@asynccontextmanager
async def observing(stack: Stack) -> AsyncIterator[Client]:
    """A connection, or an error at once: without retries."""
    client = NatsClient()
    await client.connect(
        stack.nats_url("observer", passwords.load(stack.state_dir)["observer"]),
        # The default is sixty attempts, two seconds apart.
        allow_reconnect=False,
        max_reconnect_attempts=1,
        reconnect_time_wait=0,
        connect_timeout=TIMEOUT_SECONDS,
        error_cb=_ignore,
    )
    try:
        yield client
    finally:
        await client.close()


async def consumers(client: Client) -> list[ConsumerInfo]:
    """The consumers of both streams; none of a stream that does not exist."""
    found: list[ConsumerInfo] = []
    for stream in STREAMS:
        try:
            found += await client.jetstream(timeout=TIMEOUT_SECONDS).consumers_info(stream)
        except NotFoundError:
            continue
    return sorted(found, key=lambda info: (info.stream_name, info.name))


async def _ignore(error: Exception) -> None:
    """The caller receives the error as well, and prints it once."""
    del error
