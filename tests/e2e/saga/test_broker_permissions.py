"""What the broker lets each user do: a service says its own events, the observer reads."""

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
from tests.kit.client import SERVICES, Json, Shop, order, wait_until

CHAIN = ["OrderCreated", "CouponUsed", "StockDecremented", "PaymentCompleted", "OrderCompleted"]
EMITS = {name: registry.emits for name, registry in load().registries.items()}


def foreign(service: str) -> list[type[Event]]:
    """Every event of the contract that is not the service's own, those of later work too."""
    return [event for event in CONTRACT if event not in EMITS.get(service, ())]


def changing(service: str) -> list[str]:
    """What would change a stream or touch somebody else's consumer."""
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
    """The streams and the consumers as they are set up."""
    async with shop.nats() as client:
        jetstream = client.jetstream()
        streams: list[StreamInfo] = await jetstream.streams_info()
        found: Json = {str(stream.config.name): stream.config for stream in streams}
        for name in list(found):
            for consumer in await jetstream.consumers_info(name):
                found[f"{name}/{consumer.name}"] = consumer.config
    return found


async def all_refused(shop: Shop, user: str, wanted: list[str]) -> None:
    """Publish to each of these and see the broker refuse it."""
    refusals: list[str] = []
    async with connected_as(shop, user, refusals) as client:
        for subject in wanted:
            await client.publish(subject, b"{}", reply=client.new_inbox())
        await until_told(refusals, [f'publish to "{subject.lower()}"' for subject in wanted])


async def until_told(refusals: list[str], expected: list[str]) -> None:
    """The broker's refusals may come after its answer to what was sent later."""

    def missing() -> list[str]:
        return [each for each in expected if not any(each in refusal for refusal in refusals)]

    async def told() -> bool:
        return not missing()

    with suppress(AssertionError):
        await wait_until(told, "everything is refused", 5)
    assert missing() == []


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_can_not_say_what_another_one_says(forged_shop: Shop, service: str) -> None:
    shop = forged_shop
    victim = str(uuid4())
    assert len(foreign(service)) > len(CONTRACT) / 2

    await all_refused(shop, service, [subject_of(each, victim) for each in foreign(service)])

    assert await names(shop, victim) == []
    async with shop.nats() as client:
        info = await client.request(
            "$JS.API.STREAM.INFO.CATALOG", json.dumps({"subjects_filter": "catalog.>"}).encode()
        )
    assert f"catalog.{victim}.ProductChanged" not in json.loads(info.data)["state"]["subjects"]


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_can_say_what_is_its_own(forged_shop: Shop, service: str) -> None:
    """Nobody can read these bodies: on this stack it does not matter."""
    shop = forged_shop
    key = str(uuid4())
    own = sorted(EMITS[service], key=lambda event: event.__name__)
    async with connected_as(shop, service) as client:
        for event in own:
            assert await publish(client, subject_of(event, key), b"{}") > 0
    assert await names(shop, key) == [each.__name__ for each in own if each.stream == SAGA]


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_can_not_touch_what_is_not_its_own(forged_shop: Shop, service: str) -> None:
    shop = forged_shop
    before = await configuration(shop)

    await all_refused(shop, service, changing(service))

    assert await configuration(shop) == before


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_can_not_make_its_stream_otherwise(forged_shop: Shop, service: str) -> None:
    """It may make its streams where there are none; where they are, it changes nothing."""
    shop = forged_shop
    before = await configuration(shop)
    other: Json = {"name": "SAGA", "subjects": ["saga.*.*"], "max_msgs": 1, "deny_delete": True}
    async with connected_as(shop, service) as client:
        answer = await client.request("$JS.API.STREAM.CREATE.SAGA", json.dumps(other).encode())
    assert json.loads(answer.data)["error"]["code"] == 400
    assert await configuration(shop) == before


@pytest.mark.parametrize("user", [*SERVICES, "observer"])
async def test_nobody_can_listen_to_what_is_not_for_him(forged_shop: Shop, user: str) -> None:
    others = [f"_INBOX_{service}.>" for service in SERVICES if service != user]
    private = [*others, ">", "*.>", "$JS.>", "$SYS.>"]
    if user != "observer":
        private += ["saga.>", "catalog.>", "_INBOX.>"]
    refusals: list[str] = []
    async with connected_as(forged_shop, user, refusals) as client:
        for subject in private:
            await client.subscribe(subject)
        await until_told(refusals, [f'subscription to "{subject.lower()}"' for subject in private])


# ---------------------------------------------------------------- the observer


async def test_the_observer_sees_orders_go_by(shop: Shop) -> None:
    product, customer = await shop.create_product(100, 5), await shop.create_wallet(100)
    received: list[str] = []

    async def note(message: Any) -> None:
        received.append(message.subject)

    async with connected_as(shop, "observer") as client:
        await client.subscribe("saga.>", cb=note)
        await client.flush()
        ended = await shop.buy(order(customer, (product, 1)))
        expected = [f"saga.{ended['orderId']}.{name}" for name in CHAIN]

        async def all_heard() -> bool:
            return received == expected

        await wait_until(all_heard, "the observer has heard the order's events")


async def test_the_observer_can_read_everything(shop: Shop) -> None:
    product, customer = await shop.create_product(100, 5), await shop.create_wallet(100)
    ended = await shop.buy(order(customer, (product, 1)))
    async with connected_as(shop, "observer") as client:
        jetstream = client.jetstream()
        assert (await jetstream.account_info()).streams == 2
        assert {each.config.name for each in await jetstream.streams_info()} == {"SAGA", "CATALOG"}
        assert await jetstream.find_stream_name_by_subject("saga.*.*") == "SAGA"
        assert (await jetstream.stream_info("SAGA")).state.messages > 0
        assert {each.name for each in await jetstream.consumers_info("SAGA")} == set(SERVICES)
        assert (await jetstream.consumer_info("CATALOG", "order")).name == "order"
        subject = f"saga.{ended['orderId']}.OrderCreated"
        first = await jetstream.get_msg("SAGA", seq=1, subject=subject, direct=True, next=True)
        assert name_of(first) == "OrderCreated"
        last = await jetstream.get_msg(
            "CATALOG", subject=f"catalog.{product}.ProductChanged", direct=True
        )
        assert last.data


async def test_the_observer_changes_nothing(forged_shop: Shop) -> None:
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

    await all_refused(shop, "observer", wanted)

    assert await configuration(shop) == before
    assert await subjects(shop) == held


# ---------------------------------------------------------------- the way round: answers


async def test_an_answer_that_the_observer_had_sent_into_the_stream_acts_nowhere(
    forged_shop: Shop,
) -> None:
    """The broker sends its answer wherever a request wants it, with its own permissions."""
    shop = forged_shop
    product, customer = await shop.create_product(100, 5), await shop.create_wallet(1_000)
    await asyncio.to_thread(shop.command, "stop", "payment")
    order_id = await shop.place(order(customer, (product, 1)))
    await shop.wait_for_events(order_id, "StockDecremented")
    subject = f"saga.{order_id}.PaymentFailed"

    async with connected_as(shop, "observer") as client:
        await client.publish("$JS.API.STREAM.INFO.SAGA", b"", reply=subject)

    for service in ("order", "product", "coupon"):

        async def set_aside(service: str = service) -> bool:
            return subject in [each["subject"] for each in await shop.dead_letters(service)]

        await wait_until(set_aside, f"{service} has set the answer aside")
    await asyncio.to_thread(shop.command, "start", "payment")
    assert (await shop.wait_until_ended(order_id))["status"] == "COMPLETED"


async def test_a_payment_can_not_be_forged_by_an_answer(forged_shop: Shop) -> None:
    """The coupon service stores a payment's body under its own event's name, and has it sent on."""
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
        # No message id: the answer carries it too, and the broker would take it for a repeat.
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


# ---------------------------------------------------------------- who is who


@pytest.mark.parametrize("user", [*SERVICES, "admin", "observer", "sys"])
async def test_a_wrong_password_is_refused(shop: Shop, user: str) -> None:
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


async def test_one_service_is_not_another(shop: Shop) -> None:
    passwords = {service: service_url(shop, service).split(":")[2] for service in SERVICES}
    assert len(set(passwords.values())) == len(SERVICES)
