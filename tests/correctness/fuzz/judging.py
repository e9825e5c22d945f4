"""Putting messages into the streams, and looking at what the services made of them."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path

from nats.js.api import ConsumerInfo
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from events.contract import CATALOG, CONTRACT
from infra.stack import config, processes
from saga.choreography import graph
from tests.correctness.fuzz.messages import Message
from tests.correctness.fuzz.raw import Place, speaking
from tests.kit.client import Json, Shop, wait_until

FLOW = graph.load()

Sent = Mapping[Place, Message]

_LATER = "503"  # not now, but in a second: an answer, not a fault


async def published(shop: Shop, messages: Iterable[Message]) -> Sent:
    """Those that the broker stored, in the order in which they stand in the streams."""
    async with speaking(shop.environment["NATS_URL_ADMIN"]) as connection:
        return {
            place: message
            for message in messages
            if (place := await connection.publish(message)) is not None
        }


async def standing_still(shop: Shop, sent: Sent) -> list[str]:
    """The services that do not get any further, and on which message. None, once all is done."""
    behind: list[ConsumerInfo] = []

    async def all_is_done() -> bool:
        behind[:] = [each for each in await _consumers(shop) if _is_behind(each)]
        return not behind

    with suppress(AssertionError):
        await wait_until(all_is_done, "every service has worked on everything")
    return [f"{info.name} on {_next_of(info, sent)}" for info in behind]


async def misjudged(shop: Shop, service: str, sent: Sent) -> AsyncIterator[str]:
    """What this service set aside and should not have, or did not and should have."""
    letters = await _letters(shop, service, sent)
    for place, message in _still_there(sent).items():
        letter = letters.get(place)
        reason = letter and letter["reason"]
        if reason not in _fitting(service, message) or (letter and not letter["error"]):
            yield f"{service}: {letter or 'no letter'} for {message}"


async def broke(shop: Shop, service: str) -> bool:
    """Did it ever answer with a server error, but for the one that only asks for patience?"""
    requests = await _figures(shop, service, "http_requests_total")
    statuses = {sample.labels["status"] for sample in requests}
    return any(status.startswith("5") for status in statuses - {_LATER})


async def waiting(shop: Shop, service: str) -> int:
    """How many messages the service has in its hands."""
    [sample] = await _figures(shop, service, "saga_mailbox_waiting")
    return int(sample.value)


def running(shop: Shop) -> dict[str, int | None]:
    """The process of each part of the stack: another one was started anew."""
    stack = config.recorded(Path(shop.environment["STATE_DIR"]))
    assert stack is not None
    return {process.name: process.pid for process in processes.listed(stack)}


async def _figures(shop: Shop, service: str, name: str) -> list[Sample]:
    text = (await shop.call(service, "GET", "/metrics")).body
    families = text_string_to_metric_families(text)
    return [sample for family in families for sample in family.samples if sample.name == name]


async def _consumers(shop: Shop) -> list[ConsumerInfo]:
    async with shop.nats("observer") as client:
        jetstream = client.jetstream()
        return [
            await jetstream.consumer_info(stream.name, service)
            for service, registry in FLOW.registries.items()
            for stream in registry.consumed_streams
        ]


def _is_behind(info: ConsumerInfo) -> bool:
    return bool(info.num_pending or info.num_ack_pending)


def _next_of(info: ConsumerInfo, sent: Sent) -> Message | str:
    """The first message that a consumer has not acknowledged."""
    done = info.ack_floor.stream_seq if info.ack_floor else 0
    waiting = (
        message
        for place, message in sent.items()
        if place.stream == info.stream_name and place.sequence > done and _hears(info.name, message)
    )
    return next(waiting, "an event of the services' own")


def _hears(service: str, message: Message) -> bool:
    event = CONTRACT.named(message.event_name)
    return event is not None and service in FLOW.consumers(event)


def _fitting(service: str, message: Message) -> tuple[str | None, ...]:
    """Why the service may set the message aside; None: it need not."""
    if message.letter is False or not _hears(service, message):
        return (None,)
    return ("UNREADABLE",) if message.letter else (None, "UNREADABLE", "RAISED")


def _still_there(sent: Sent) -> Sent:
    """The catalogue keeps the last message of each product: who comes late hears no other."""
    newest = {message.subject: place for place, message in sent.items()}
    return {
        place: message
        for place, message in sent.items()
        if place.stream != CATALOG.name or newest[message.subject] == place
    }


async def _letters(shop: Shop, service: str, sent: Sent) -> dict[Place, Json]:
    """The service's dead letters that are among what was sent; they are its newest."""
    found: dict[Place, Json] = {}
    for page in count():
        path = f"/api/v1/ops/dead-letters?size=100&page={page}"
        items = (await shop.get(service, path))["items"]
        new = {Place(each["stream"], each["sequence"]): each for each in items}
        found |= new
        if new.keys().isdisjoint(sent):
            break
    return found
