"""Messages in the streams: reading, publishing and deleting them by hand."""

import fcntl
import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from nats.aio.client import Client
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

from chassis.broker.nats_client import NatsClient
from infra.stack import passwords
from saga.choreography.permissions import inbox_prefix
from tests.kit.client import SERVICES, Json, Shop, wait_until


def name_of(message: RawStreamMsg) -> str:
    return (message.subject or "").rpartition(".")[2]


def headers_of(message: RawStreamMsg) -> dict[str, str]:
    """The headers from its producer; a direct get adds those of the broker."""
    added = ("Nats-Stream", "Nats-Subject", "Nats-Sequence", "Nats-Time-Stamp")
    return {name: value for name, value in (message.headers or {}).items() if name not in added}


def body_of(message: RawStreamMsg) -> Json:
    body: Json = json.loads(message.data or b"")
    return body


async def messages(shop: Shop, order_id: str) -> list[RawStreamMsg]:
    """All of an order's messages in the stream, in order, read as the observer."""
    found: list[RawStreamMsg] = []
    async with shop.nats("observer") as client:
        jetstream = client.jetstream()
        sequence = 1
        while True:
            try:
                message = await jetstream.get_msg(
                    "SAGA", seq=sequence, subject=f"saga.{order_id}.*", direct=True, next=True
                )
            except NotFoundError:
                return found
            found.append(message)
            sequence = (message.seq or 0) + 1


async def names(shop: Shop, order_id: str) -> list[str]:
    return [name_of(message) for message in await messages(shop, order_id)]


async def wait_for_message(shop: Shop, order_id: str, event: str) -> None:
    async def is_in_stream() -> bool:
        return event in await names(shop, order_id)

    await wait_until(is_in_stream, f"{event} is in the stream")


async def lose_message(shop: Shop, service: str, order_id: str, event: str) -> None:
    """Acknowledge an event for a stopped service, so that it is not delivered to it.

    With it what came before: events of this order that it has handled, retransmitted. (Deleted from
    the stream, the event would be noticed and published again.)
    """
    subject = ""
    async with shop.nats() as client:
        durable = await client.jetstream().pull_subscribe_bind(service, "SAGA")
        while subject != f"saga.{order_id}.{event}":
            [message] = await durable.fetch(1, timeout=5)
            await message.ack_sync()
            subject = message.subject


async def delete_message(shop: Shop, order_id: str, event: str) -> None:
    """Delete an event from the stream. Its producer, where it runs, publishes it again."""
    async with shop.nats() as client:
        await client.jetstream().purge_stream("SAGA", subject=f"saga.{order_id}.{event}")


async def subjects(shop: Shop) -> dict[str, Counter[str]]:
    """The number of messages in the stream by order and event."""
    held: dict[str, Counter[str]] = defaultdict(Counter)
    async with shop.nats("observer") as client:
        request = json.dumps({"subjects_filter": ">"}).encode()
        answer = await client.request("$JS.API.STREAM.INFO.SAGA", request, timeout=5)
    for subject, count in (json.loads(answer.data)["state"].get("subjects") or {}).items():
        _, order_id, name = subject.split(".")
        held[order_id][name] = count
    return held


async def publish(
    client: Client, subject: str, body: Any, headers: Mapping[str, str] | None = None
) -> int:
    """Publish a message under a new message id. Returns its sequence."""
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = dict(headers or {}) | {"Nats-Msg-Id": str(uuid4())}
    return (await client.jetstream().publish(subject, payload, headers=sent)).seq


async def republish(shop: Shop, order_id: str) -> int:
    """Publish all of an order's messages once more. Returns how many."""
    found = await messages(shop, order_id)
    async with shop.nats() as client:
        for message in found:
            await publish(client, message.subject or "", message.data, headers_of(message))
    return len(found)


def service_url(shop: Shop, service: str, password: str | None = None) -> str:
    """The broker's address with a service's credentials."""
    known = passwords.load(Path(shop.environment["STATE_DIR"]))[service]
    place = shop.environment["NATS_URL_ADMIN"].rpartition("@")[2]
    return f"nats://{service}:{password or known}@{place}"


@asynccontextmanager
async def connected_as(
    shop: Shop, user: str, refusals: list[str] | None = None
) -> AsyncIterator[Client]:
    """A connection as a service or the observer. Refusals of the broker are added to the list."""

    async def receive(error: Exception) -> None:
        if refusals is not None:
            refusals.append(str(error))

    is_service = user in SERVICES
    url = service_url(shop, user) if is_service else shop.environment[f"NATS_URL_{user.upper()}"]
    prefix = inbox_prefix(user) if is_service else "_INBOX"
    client = NatsClient()
    await client.connect(url, connect_timeout=5, inbox_prefix=prefix, error_cb=receive)
    try:
        yield client
    finally:
        await client.close()


def database_file(shop: Shop, service: str) -> Path:
    return Path(shop.environment["STATE_DIR"], "db", f"{service}.db")


@contextmanager
def written_by_hand(shop: Shop, service: str) -> Iterator[sqlite3.Connection]:
    """A transaction in a service's database, exclusive with the service's own ones."""
    file = database_file(shop, service)
    with Path(f"{file}.writer").open("wb") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        connection = sqlite3.connect(file, timeout=10, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        finally:
            connection.close()
