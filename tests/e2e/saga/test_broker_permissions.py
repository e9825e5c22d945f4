"""The broker's permissions: a service publishes its own events, the observer reads."""

import asyncio
import json
from contextlib import suppress
from typing import Any
from uuid import uuid4

import nats
import pytest
from nats.errors import Error as NatsError
from nats.js.api import StreamInfo

from events.contract import CONTRACT, SAGA
from saga.choreography.graph import load
from saga.envelope import subject_of
from saga.event import Event
from tests.e2e.saga.broker_stream import (
    connected_as,
    name_of,
    names,
    publish,
    service_url,
    subjects,
)
from tests.e2e.saga.event_chains import COMPLETED
from tests.kit.client import SERVICES, Json, Shop, order, wait_until

EMITS = {name: registry.emits for name, registry in load().registries.items()}


def foreign(service: str) -> list[type[Event]]:
    """Every event of the contract that another service owns."""
    return [event for event in CONTRACT if event not in EMITS.get(service, ())]


def changing(service: str) -> list[str]:
    """Subjects that change a stream or another service's consumer."""
    subjects = [
        f"STREAM.{verb}.{stream}"
        for verb in ("DELETE", "UPDATE", "PURGE", "MSG.DELETE", "SNAPSHOT", "RESTORE")
        for stream in ("SAGA", "CATALOG")
    ]
    subjects += ["STREAM.CREATE.OTHER", "CONSUMER.CREATE.SAGA", "CONSUMER.CREATE.SAGA.spy"]
    subjects += ["CONSUMER.DURABLE.CREATE.SAGA.spy", "CONSUMER.CREATE.SAGA.spy.saga.>"]
    for other in SERVICES:
        if other != service:
            subjects += [
                f"CONSUMER.CREATE.SAGA.{other}",
                f"CONSUMER.CREATE.SAGA.{other}.saga.>",
                f"CONSUMER.DURABLE.CREATE.SAGA.{other}",
                f"CONSUMER.DELETE.SAGA.{other}",
                f"CONSUMER.PAUSE.SAGA.{other}",
                f"CONSUMER.MSG.NEXT.SAGA.{other}",
            ]
    acks = [f"$JS.ACK.SAGA.{other}.1.1.1.1.0" for other in SERVICES if other != service]
    return [f"$JS.API.{subject}" for subject in subjects] + acks


async def configuration(shop: Shop) -> Json:
    """The configuration of streams and consumers."""
    async with shop.nats() as client:
        jetstream = client.jetstream()
        streams: list[StreamInfo] = await jetstream.streams_info()
        found: Json = {str(stream.config.name): stream.config for stream in streams}
        for name in list(found):
            for consumer in await jetstream.consumers_info(name):
                found[f"{name}/{consumer.name}"] = consumer.config
    return found


async def assert_refused(shop: Shop, user: str, wanted: list[str]) -> None:
    """Publish to each of these, and assert that the broker refuses it."""
    refusals: list[str] = []
    async with connected_as(shop, user, refusals) as client:
        for subject in wanted:
            await client.publish(subject, b"{}", reply=client.new_inbox())
        await assert_all_refused(
            refusals, [f'publish to "{subject.lower()}"' for subject in wanted]
        )


async def assert_all_refused(refusals: list[str], expected: list[str]) -> None:
    """Wait for a while: refusals may arrive after the answers to later messages."""

    def missing() -> list[str]:
        return [each for each in expected if not any(each in refusal for refusal in refusals)]

    async def none_is_missing() -> bool:
        return not missing()

    with suppress(AssertionError):
        await wait_until(none_is_missing, "everything is refused", 5)
    assert missing() == []


@pytest.mark.parametrize("service", SERVICES)
async def test_service_cannot_publish_events_of_another_service(
    forged_shop: Shop, service: str
) -> None:
    shop = forged_shop
    victim = str(uuid4())
    assert len(foreign(service)) > len(CONTRACT) / 2

    await assert_refused(shop, service, [subject_of(each, victim) for each in foreign(service)])

    assert await names(shop, victim) == []
    async with shop.nats() as client:
        info = await client.request(
            "$JS.API.STREAM.INFO.CATALOG", json.dumps({"subjects_filter": "catalog.>"}).encode()
        )
    assert f"catalog.{victim}.ProductChanged" not in json.loads(info.data)["state"]["subjects"]


@pytest.mark.parametrize("service", SERVICES)
async def test_service_can_publish_its_own_events(forged_shop: Shop, service: str) -> None:
    """The bodies are malformed, which this stack allows."""
    shop = forged_shop
    key = str(uuid4())
    own = sorted(EMITS[service], key=lambda event: event.__name__)
    async with connected_as(shop, service) as client:
        for event in own:
            assert await publish(client, subject_of(event, key), b"{}") > 0
    assert await names(shop, key) == [each.__name__ for each in own if each.stream == SAGA]


@pytest.mark.parametrize("service", SERVICES)
async def test_service_cannot_change_streams_and_other_consumers(
    forged_shop: Shop, service: str
) -> None:
    shop = forged_shop
    before = await configuration(shop)

    await assert_refused(shop, service, changing(service))

    assert await configuration(shop) == before


@pytest.mark.parametrize("service", SERVICES)
async def test_service_cannot_change_its_stream_by_creating_it(
    forged_shop: Shop, service: str
) -> None:
    """It may create a stream that does not exist."""
    shop = forged_shop
    before = await configuration(shop)
    name, prefix = ("USERS", "user") if service == "user" else ("SAGA", "saga")
    other: Json = {"name": name, "subjects": [f"{prefix}.*.*"], "max_msgs": 1, "deny_delete": True}
    async with connected_as(shop, service) as client:
        answer = await client.request(f"$JS.API.STREAM.CREATE.{name}", json.dumps(other).encode())
    assert json.loads(answer.data)["error"]["code"] == 400
    assert await configuration(shop) == before


@pytest.mark.parametrize("user", [*SERVICES, "observer"])
async def test_user_cannot_subscribe_to_subjects_of_others(forged_shop: Shop, user: str) -> None:
    others = [f"_INBOX_{service}.>" for service in SERVICES if service != user]
    private = [*others, ">", "*.>", "$JS.>", "$SYS.>"]
    if user != "observer":
        private += ["saga.>", "catalog.>", "_INBOX.>"]
    refusals: list[str] = []
    async with connected_as(forged_shop, user, refusals) as client:
        for subject in private:
            await client.subscribe(subject)
        await assert_all_refused(
            refusals, [f'subscription to "{subject.lower()}"' for subject in private]
        )


# ---------------------------------------------------------------- the observer


async def test_observer_receives_the_events_of_an_order(shop: Shop) -> None:
    product, customer = await shop.create_product(100, 5), await shop.create_wallet(100)
    received: list[str] = []

    async def note(message: Any) -> None:
        received.append(message.subject)

    async with connected_as(shop, "observer") as client:
        await client.subscribe("saga.>", cb=note)
        await client.flush()
        ended = await shop.buy(order(customer, (product, 1)))
        expected = [f"saga.{ended['orderId']}.{name}" for name in COMPLETED]

        async def all_are_received() -> bool:
            return received == expected

        await wait_until(all_are_received, "the observer has received the order's events")


async def test_observer_can_read_streams_and_consumers(shop: Shop) -> None:
    product, customer = await shop.create_product(100, 5), await shop.create_wallet(100)
    ended = await shop.buy(order(customer, (product, 1)))
    async with connected_as(shop, "observer") as client:
        jetstream = client.jetstream()
        assert (await jetstream.account_info()).streams == 5
        assert {each.config.name for each in await jetstream.streams_info()} == {
            *("SAGA", "CATALOG", "USERS", "KEYS", "PERSONAL")
        }
        assert await jetstream.find_stream_name_by_subject("saga.*.*") == "SAGA"
        assert (await jetstream.stream_info("SAGA")).state.messages > 0
        assert {each.name for each in await jetstream.consumers_info("SAGA")} == {*SERVICES} - {
            "user"
        }
        assert (await jetstream.consumer_info("CATALOG", "order")).name == "order"
        subject = f"saga.{ended['orderId']}.OrderCreated"
        first = await jetstream.get_msg("SAGA", seq=1, subject=subject, direct=True, next=True)
        assert name_of(first) == "OrderCreated"
        last = await jetstream.get_msg(
            "CATALOG", subject=f"catalog.{product}.ProductChanged", direct=True
        )
        assert last.data


async def test_personal_data_is_read_by_user_and_order_alone(forged_shop: Shop) -> None:
    """Neither from the stream nor as it passes."""
    readers = ("user", "order")
    reading = [
        "$JS.API.DIRECT.GET.PERSONAL",
        "$JS.API.DIRECT.GET.PERSONAL.personal.a.AddressChanged.b",
        "$JS.API.STREAM.MSG.GET.PERSONAL",
        "$JS.API.CONSUMER.CREATE.PERSONAL.spy",
        "$JS.API.CONSUMER.CREATE.PERSONAL.spy.personal.>",
        "$JS.API.CONSUMER.MSG.NEXT.PERSONAL.order",
    ]
    for name in [*SERVICES, "observer"]:
        if name in readers:
            continue
        await assert_refused(forged_shop, name, reading)
        refusals: list[str] = []
        passing = ["personal.>", "personal.*.AddressChanged.*"]
        async with connected_as(forged_shop, name, refusals) as client:
            for subject in passing:
                await client.subscribe(subject)
            await assert_all_refused(
                refusals, [f'subscription to "{subject.lower()}"' for subject in passing]
            )
    purging = ["$JS.API.STREAM.PURGE.PERSONAL"]
    for name in [*SERVICES, "observer"]:
        if name != "user":
            await assert_refused(forged_shop, name, purging)
    for name in readers:
        async with connected_as(forged_shop, name) as client:
            info = await client.jetstream().stream_info("PERSONAL")
            assert info.config.subjects == ["personal.*.*.*"]


async def test_observer_cannot_publish_or_change_anything(forged_shop: Shop) -> None:
    shop = forged_shop
    key = str(uuid4())
    before, held = await configuration(shop), await subjects(shop)
    wanted = [subject_of(event, key) for event in CONTRACT]
    wanted += [
        *changing("observer"),
        "$JS.API.STREAM.MSG.GET.SAGA",
        "$JS.API.STREAM.CREATE.SAGA",
        "$JS.API.STREAM.CREATE.CATALOG",
    ]

    await assert_refused(shop, "observer", wanted)

    assert await configuration(shop) == before
    assert await subjects(shop) == held


# ---------------------------------------------------------------- answers of the broker as a detour


async def test_broker_answer_in_the_stream_becomes_a_dead_letter(
    forged_shop: Shop,
) -> None:
    """The broker publishes its answers, with all permissions, to the subject in the request."""
    shop = forged_shop
    product, customer = await shop.create_product(100, 5), await shop.create_wallet(1_000)
    await asyncio.to_thread(shop.command, "stop", "payment")
    order_id = await shop.place(order(customer, (product, 1)))
    await shop.wait_for_events(order_id, "StockDecremented")
    subject = f"saga.{order_id}.PaymentFailed"

    async with connected_as(shop, "observer") as client:
        await client.publish("$JS.API.STREAM.INFO.SAGA", b"", reply=subject)

    for service in ("order", "product", "coupon"):

        async def is_dead_letter(service: str = service) -> bool:
            return subject in [each["subject"] for each in await shop.dead_letters(service)]

        await wait_until(is_dead_letter, f"the answer is a dead letter of {service}")
    await asyncio.to_thread(shop.command, "start", "payment")
    assert (await shop.wait_until_ended(order_id))["status"] == "COMPLETED"


async def test_payment_cannot_be_forged_by_a_broker_answer(forged_shop: Shop) -> None:
    """The coupon service publishes a payment's body as its own event and requests that event."""
    shop = forged_shop
    product, customer = await shop.create_product(100, 5), await shop.create_wallet(0)
    await asyncio.to_thread(shop.command, "stop", "payment")
    order_id = await shop.place(order(customer, (product, 1)))
    await shop.wait_for_events(order_id, "StockDecremented")
    forged = {
        "orderId": order_id,
        "paymentId": str(uuid4()),
        "customerId": customer,
        "method": "WALLET",
        "amount": 100,
        "discountAmount": 0,
    }
    async with connected_as(shop, "coupon") as client:
        # No message id: the answer would have it too, and the broker would drop it as a duplicate.
        own = f"saga.{order_id}.CouponUsed"
        stored = await client.jetstream().publish(own, json.dumps(forged).encode())
        request = json.dumps({"seq": stored.seq}).encode()
        reply = f"saga.{order_id}.PaymentCompleted"
        await client.publish("$JS.API.DIRECT.GET.SAGA", request, reply=reply)
        await client.flush()
        await client.request("$JS.API.DIRECT.GET.SAGA", request)
    await asyncio.to_thread(shop.command, "start", "payment")

    ended = await shop.wait_until_ended(order_id)
    await shop.wait_until_idle()

    assert (ended["status"], ended["failReason"]) == ("FAILED", "INSUFFICIENT_BALANCE")
    assert await shop.stock(product) == (5, 0)


# ---------------------------------------------------------------- passwords


@pytest.mark.parametrize("user", [*SERVICES, "admin", "observer", "sys"])
async def test_wrong_password_is_refused(shop: Shop, user: str) -> None:
    place = shop.environment["NATS_URL_ADMIN"].rpartition("@")[2]
    for credentials in (
        f"{user}:wrong@",
        f"{user}:@",
        f"{user}:$NATS_PASSWORD_{user.upper()}@",
        "",
    ):
        with pytest.raises((NatsError, OSError)) as refusal:
            await nats.connect(
                f"nats://{credentials}{place}",
                allow_reconnect=False,
                max_reconnect_attempts=0,
                connect_timeout=5,
            )
        assert "Authorization" in repr(refusal.value)


async def test_services_have_different_passwords(shop: Shop) -> None:
    passwords = {service: service_url(shop, service).split(":")[2] for service in SERVICES}
    assert len(set(passwords.values())) == len(SERVICES)
