"""What the streams hold and how far each consumer has come, read as the observer."""

import asyncio
import json

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from events.contract import CONTRACT
from infra.stack import broker
from ops import deployment
from ops.audit.findings import CannotRead
from ops.deployment import Deployment
from saga.envelope import EVENT_ID
from saga.event import Stream

_BATCH_MESSAGES = 1000
_PAGE_SUBJECTS = 100_000
"""So many of them are in one answer (JetStream API, JSMaxSubjectDetails)."""

_READ_SECONDS = 20.0

Floors = dict[tuple[str, str], int]
"""By stream and consumer: everything up to this sequence is acknowledged."""


class Held(msgspec.Struct, frozen=True):
    """A message that the stream holds."""

    subject: str
    event_id: str


class Contents(msgspec.Struct, frozen=True):
    """A stream. `max_age_seconds` is how long it keeps a message, 0 for ever.

    Of a stream with personal data, which the observer may not read, only the `subjects` are known.
    """

    max_age_seconds: float
    messages: dict[int, Held]
    subjects: frozenset[str] = frozenset()


def floors(shop: Deployment) -> Floors:
    """How far each consumer has acknowledged. Raises CannotRead."""
    return asyncio.run(_floors(shop))


def contents(shop: Deployment) -> dict[str, Contents]:
    """Each stream by its name. A missing one holds nothing. Raises CannotRead."""
    return asyncio.run(_contents(shop))


async def _floors(shop: Deployment) -> Floors:
    try:
        async with deployment.observing(shop) as client:
            return {
                (info.stream_name, info.name): info.ack_floor.stream_seq if info.ack_floor else 0
                for info in await broker.consumers(client)
            }
    except (NatsError, OSError, TimeoutError) as error:
        raise _cannot_read(error) from error


async def _contents(shop: Deployment) -> dict[str, Contents]:
    try:
        async with deployment.observing(shop) as client:
            return {name: await read(client, stream) for name, stream in CONTRACT.streams.items()}
    except (NatsError, OSError, TimeoutError) as error:
        raise _cannot_read(error) from error


async def read(client: Client, stream: Stream) -> Contents:
    """All that a stream of any contract holds. Raises NatsError, OSError and TimeoutError."""
    try:
        info = await client.jetstream(timeout=broker.TIMEOUT_SECONDS).stream_info(stream.name)
    except NotFoundError:
        return Contents(0, {})
    if stream.is_personal:
        return Contents(info.config.max_age or 0, {}, await _subjects(client, stream))
    messages: dict[int, Held] = {}
    while await _next_batch(client, stream, messages):
        pass
    return Contents(info.config.max_age or 0, messages)


async def _subjects(client: Client, stream: Stream) -> frozenset[str]:
    """The subjects of its messages, page by page."""
    found: set[str] = set()
    while True:
        wanted = {"subjects_filter": stream.subjects, "offset": len(found)}
        address = f"$JS.API.STREAM.INFO.{stream.name}"
        reply = await client.request(
            address, json.dumps(wanted).encode(), timeout=broker.TIMEOUT_SECONDS
        )
        page = json.loads(reply.data)["state"].get("subjects") or {}
        found.update(page)
        if not page or len(page) < _PAGE_SUBJECTS:
            return frozenset(found)


async def _next_batch(client: Client, stream: Stream, messages: dict[int, Held]) -> bool:
    """Read on by one batched direct get, which needs no consumer. False at the end."""
    after = max(messages, default=0)
    wanted = {"seq": after + 1, "batch": _BATCH_MESSAGES, "next_by_subj": stream.subjects}
    before = len(messages)
    ended = asyncio.Event()

    async def take(message: Msg) -> None:
        headers = message.headers or {}
        if "Nats-Sequence" in headers:
            held = Held(headers["Nats-Subject"], headers.get(EVENT_ID, ""))
            messages[int(headers["Nats-Sequence"])] = held
        else:  # 204: the end of this batch; 404: no message is left
            ended.set()

    inbox = client.new_inbox()
    answers = await client.subscribe(inbox, cb=take)
    subject = f"$JS.API.DIRECT.GET.{stream.name}"
    await client.publish(subject, json.dumps(wanted).encode(), reply=inbox)
    async with asyncio.timeout(_READ_SECONDS):
        await ended.wait()
    await answers.unsubscribe()
    return len(messages) > before


def _cannot_read(error: Exception) -> CannotRead:
    return CannotRead(f"The broker can't be read ({error!r}). Look at: make status")
