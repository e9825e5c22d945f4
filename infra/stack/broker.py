"""The broker as the observer sees it: who may read everything and change nothing."""

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
    """A connection that is there at once or not at all."""
    client = NatsClient()
    await client.connect(
        stack.nats_url("observer", passwords.load(stack.state_dir)["observer"]),
        # By default it would knock sixty times, two seconds apart.
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
    """Every consumer of both streams; of a stream that is not there, none."""
    found: list[ConsumerInfo] = []
    for stream in STREAMS:
        try:
            found += await client.jetstream(timeout=TIMEOUT_SECONDS).consumers_info(stream)
        except NotFoundError:
            continue
    return sorted(found, key=lambda info: (info.stream_name, info.name))


async def _ignore(error: Exception) -> None:
    """The caller gets the error as well, and says it once."""
    del error
