"""Publishing messages, and observing what the services make of them."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path

from nats.js.api import ConsumerInfo
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from events.contract import CONTRACT
from infra.stack import config, processes
from saga.choreography import graph
from tests.correctness.fuzz.messages import Message
from tests.correctness.fuzz.raw import Position, connected
from tests.kit.client import Json, Shop, wait_until

FLOW = graph.load()

Sent = Mapping[Position, Message]

_LATER = "503"  # retry later: an answer, not a fault


async def published(shop: Shop, messages: Iterable[Message]) -> Sent:
    """Publish messages. Returns those that the broker stored, in the order of the streams."""
    async with connected(shop.environment["NATS_URL_ADMIN"]) as connection:
        return {
            place: message
            for message in messages
            if (place := await connection.publish(message)) is not None
        }


async def blocked(shop: Shop, sent: Sent) -> list[str]:
    """The services that do not get any further, and their message. Empty once all is handled."""
    behind: list[ConsumerInfo] = []

    async def all_is_done() -> bool:
        behind[:] = [each for each in await _consumers(shop) if _is_behind(each)]
        return not behind

    with suppress(AssertionError):
        await wait_until(all_is_done, "every service has handled everything")
    return [f"{info.name} on {_next_of(info, sent)}" for info in behind]


async def wrongly_handled(shop: Shop, service: str, sent: Sent) -> AsyncIterator[str]:
    """Messages that are this service's dead letters and should not be, or the other way round."""
    letters = await _letters(shop, service, sent)
    for place, message in _still_stored(sent).items():
        letter = letters.get(place)
        reason = letter and letter["reason"]
        if reason not in _possible_reasons(service, message) or (letter and not letter["error"]):
            yield f"{service}: {letter or 'no dead letter'} for {message}"


async def has_failed(shop: Shop, service: str) -> bool:
    """Did it ever answer with a server error other than 503?"""
    requests = await _figures(shop, service, "http_requests_total")
    statuses = {sample.labels["status"] for sample in requests}
    return any(status.startswith("5") for status in statuses - {_LATER})


async def waiting(shop: Shop, service: str) -> int:
    """How many messages wait in the service's mailbox."""
    [sample] = await _figures(shop, service, "saga_mailbox_waiting")
    return int(sample.value)


def running(shop: Shop) -> dict[str, int | None]:
    """The process id of each part of the stack; a restarted one has another."""
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
        if place.stream == info.stream_name
        and place.sequence > done
        and _consumes(info.name, message)
    )
    return next(waiting, "an event of the services' own")


def _consumes(service: str, message: Message) -> bool:
    event = CONTRACT.named(message.event_name)
    return event is not None and service in FLOW.consumers(event)


def _possible_reasons(service: str, message: Message) -> tuple[str | None, ...]:
    """The reasons for which the service may dead-letter the message; None: it may handle it."""
    if message.letter is False or not _consumes(service, message):
        return (None,)
    return ("UNREADABLE",) if message.letter else (None, "UNREADABLE", "RAISED")


def _still_stored(sent: Sent) -> Sent:
    """Some streams keep the newest message of each subject: a late consumer gets no other."""
    newest = {message.subject: place for place, message in sent.items()}
    return {
        place: message
        for place, message in sent.items()
        if not CONTRACT.streams[place.stream].newest_only or newest[message.subject] == place
    }


async def _letters(shop: Shop, service: str, sent: Sent) -> dict[Position, Json]:
    """The service's dead letters that are among what was sent; they are its newest."""
    found: dict[Position, Json] = {}
    for page in count():
        path = f"/api/v1/ops/dead-letters?size=100&page={page}"
        items = (await shop.get(service, path))["items"]
        new = {Position(each["stream"], each["sequence"]): each for each in items}
        found |= new
        if new.keys().isdisjoint(sent):
            break
    return found
