"""Messages that can't be handled become dead letters with a reason, and stop no others."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest

from tests.e2e.saga.broker_stream import (
    messages,
    name_of,
    names,
    publish,
    subjects,
    written_by_hand,
)
from tests.e2e.saga.event_chains import COMPLETED
from tests.kit.client import SERVICES, Json, Shop, order, wait_until


def created(order_id: str, **changes: Any) -> Json:
    """A valid OrderCreated, but for the changes."""
    line = {"productId": str(uuid4()), "quantity": 1, "price": 5}
    body: Json = {"orderId": order_id, "customerId": str(uuid4()), "items": [line]}
    return body | {"totalAmount": 5} | changes


def line(**changes: Any) -> Json:
    return {"productId": str(uuid4()), "quantity": 1, "price": 5} | changes


IDENTITY = str(uuid4())
WHOLE = created(IDENTITY)

POISON: dict[str, tuple[Any, dict[str, str], str]] = {
    # body, headers, and a word of the dead letter's error
    "no-json": (b"not JSON", {}, "malformed"),
    "nothing": (b"", {}, "truncated"),
    "half": (b'{"orderId": "', {}, "truncated"),
    "not-an-object": (b"[1, 2]", {}, "object"),
    "no-utf8": (b'{"orderId": "\xff\xfe"}', {}, "utf-8"),
    "no-customer": ({key: WHOLE[key] for key in WHOLE if key != "customerId"}, {}, "customerId"),
    "no-items": ({key: WHOLE[key] for key in WHOLE if key != "items"}, {}, "items"),
    "negative-quantity": (WHOLE | {"items": [line(quantity=-1)]}, {}, "quantity"),
    "no-quantity-at-all": (WHOLE | {"items": [line(quantity=0)]}, {}, "quantity"),
    "half-a-unit": (WHOLE | {"items": [line(quantity=0.5)]}, {}, "quantity"),
    "quantity-in-words": (WHOLE | {"items": [line(quantity="1")]}, {}, "quantity"),
    "negative-price": (WHOLE | {"items": [line(price=-5)]}, {}, "price"),
    "negative-total": (WHOLE | {"totalAmount": -5}, {}, "totalAmount"),
    "no-uuid": (WHOLE | {"customerId": "Bob"}, {}, "customerId"),
    "unknown-method": (WHOLE | {"paymentMethod": "GOLD"}, {}, "GOLD"),
    "unknown-type": (WHOLE, {"ce-type": "OrderImagined"}, "OrderImagined"),
    "another-type": (WHOLE, {"ce-type": "PaymentCompleted"}, "PaymentCompleted"),
    "another-order": (created(str(uuid4())), {}, "subject"),
    "nested-without-end": (b'{"orderId": ' + b"[" * 200_000, {}, "orderId"),
}


async def letters(shop: Shop, subject: str) -> list[Json]:
    return [each for each in await shop.dead_letters("coupon") if each["subject"] == subject]


async def letter(shop: Shop, subject: str, timeout_seconds: float = 10) -> Json:
    """The dead letter of this subject, as soon as it is listed."""
    found: list[Json] = []

    async def is_listed() -> bool:
        found[:] = await letters(shop, subject)
        return bool(found)

    await wait_until(is_listed, f"{subject} is a dead letter", timeout_seconds)
    [only] = found
    return only


async def assert_next_order_completes(shop: Shop) -> None:
    """An order that is placed after all of these messages completes."""
    product, customer = await shop.create_product(100, 5), await shop.create_wallet(100)
    assert (await shop.buy(order(customer, (product, 1))))["status"] == "COMPLETED"


@pytest.mark.parametrize("kind", POISON)
async def test_malformed_message_becomes_a_dead_letter(forged_shop: Shop, kind: str) -> None:
    shop = forged_shop
    body, headers, word = POISON[kind]
    subject = f"saga.{uuid4()}.OrderCreated"
    if isinstance(body, dict) and body["orderId"] == IDENTITY:
        subject = f"saga.{IDENTITY}.OrderCreated"
    already = {each["id"] for each in await letters(shop, subject)}

    async with shop.nats() as client:
        sequence = await publish(client, subject, body, headers)
    await assert_next_order_completes(shop)

    [only] = [each for each in await letters(shop, subject) if each["id"] not in already]
    assert (only["stream"], only["sequence"]) == ("SAGA", sequence)
    assert only["reason"] == "UNREADABLE"
    assert word.lower() in only["error"].lower()
    assert headers.items() <= only["headers"].items()
    assert only["redrivenAt"] is None
    if isinstance(body, bytes):
        assert only["body"] == body.decode(errors="replace")
    assert set((await subjects(shop))[subject.split(".")[1]]) == {"OrderCreated"}


async def test_malformed_messages_among_orders_stop_none(forged_shop: Shop) -> None:
    shop = forged_shop
    product, customer = await shop.create_product(100, 100), await shop.create_wallet(10_000)
    bad = [f"saga.{uuid4()}.OrderCreated" for _ in range(30)]

    placing = asyncio.gather(*(shop.place(order(customer, (product, 1))) for _ in range(30)))
    async with shop.nats() as client:
        for subject in bad:
            await publish(client, subject, b"not JSON")
    ids = await placing

    assert await shop.count_ends(customer) == {"COMPLETED": 30, "FAILED": 0}
    await shop.wait_until_idle()
    for order_id in ids:
        assert await names(shop, order_id) == COMPLETED
    for subject in bad:
        await letter(shop, subject)


@pytest.mark.parametrize(
    ("body", "headers"),
    [(b'{"new": ' + b"[" * 200_000, {}), (b"", {"Status": "100"})],
    ids=["nested-in-an-unknown-field", "like-a-status-of-the-broker"],
)
async def test_message_that_breaks_the_decoder_becomes_a_dead_letter(
    forged_shop: Shop, body: bytes, headers: dict[str, str]
) -> None:
    shop = forged_shop
    subject = f"saga.{uuid4()}.OrderCreated"
    async with shop.nats() as client:
        await publish(client, subject, body, headers)
    await assert_next_order_completes(shop)
    assert (await letter(shop, subject, timeout_seconds=5))["reason"] == "UNREADABLE"


async def test_subject_that_is_not_utf_8_stops_no_order(forged_shop: Shop) -> None:
    """The broker accepts any bytes as a subject."""
    shop = forged_shop
    product, customer = await shop.create_product(100, 5), await shop.create_wallet(500)
    credentials, _, place = shop.environment["NATS_URL_ADMIN"][7:].partition("@")
    user, _, password = credentials.partition(":")
    reader, writer = await asyncio.open_connection(*place.split(":"))
    await reader.readline()
    connect = f'CONNECT {{"verbose": false, "user": "{user}", "pass": "{password}"}}\r\n'
    writer.write(connect.encode() + b"PUB saga.\xff\xfe.OrderCreated 2\r\n{}\r\nPING\r\n")
    assert await reader.readline() == b"PONG\r\n"
    writer.close()

    order_id = await shop.place(order(customer, (product, 1)))

    assert (await shop.wait_until_ended(order_id, 10))["status"] == "COMPLETED"


@pytest.mark.parametrize("extra", [{}, {"note": "x" * 100_000, "later": {"field": [1, None]}}])
async def test_large_event_is_handled(forged_shop: Shop, extra: Json) -> None:
    """Unknown fields are ignored, whatever their size."""
    shop = forged_shop
    order_id = str(uuid4())
    lines = [line(quantity=10**9, price=10**9) for _ in range(1_000)]
    body = created(order_id, items=lines, totalAmount=10**15, **extra)

    async with shop.nats() as client:
        await publish(client, f"saga.{order_id}.OrderCreated", body)
    await shop.wait_until_idle()

    expected = ["OrderCreated", "CouponUsed", "StockUnavailable", "CouponRestored"]
    assert await names(shop, order_id) == expected
    await assert_next_order_completes(shop)
    for service in SERVICES:
        assert not any(order_id in each["subject"] for each in await shop.dead_letters(service))


async def test_value_too_large_for_the_database_becomes_a_dead_letter(forged_shop: Shop) -> None:
    """The event can be decoded, but a row with it can't be written."""
    shop = forged_shop
    order_id, customer = str(uuid4()), await shop.create_wallet(1)
    coupon = await shop.create_coupon(customer, discountType="RATE", discountValue=50)
    body = created(order_id, customerId=customer, couponId=coupon, totalAmount=10**30)
    subject = f"saga.{order_id}.OrderCreated"

    async with shop.nats() as client:
        await publish(client, subject, body)
    await assert_next_order_completes(shop)

    assert (await letter(shop, subject))["reason"] == "RAISED"
    assert await shop.coupon_status(coupon) == ("ISSUED", None)
    assert await names(shop, order_id) == ["OrderCreated"]


# ---------------------------------------------------------------- redrive


async def redrive(shop: Shop, identity: int) -> Json:
    """Returns the letter with the outcome."""
    path = f"/api/v1/ops/dead-letters/{identity}/redrive"
    answer = await shop.call("coupon", "POST", path)
    assert answer.status == 200
    return dict(answer.body)


async def preview(shop: Shop, identity: int) -> str:
    path = f"/api/v1/ops/dead-letters/{identity}/preview"
    return str((await shop.get("coupon", path))["summary"])


async def test_redriven_dead_letter_that_fails_again_stays(forged_shop: Shop) -> None:
    shop = forged_shop
    subject = f"saga.{uuid4()}.OrderCreated"
    async with shop.nats() as client:
        await publish(client, subject, b"not JSON")
    before = await letter(shop, subject)
    assert (before["status"], before["attempts"], before["redrivenAt"]) == ("OPEN", 0, None)
    assert (await preview(shop, before["id"])).startswith("would fail again: OrderCreated: JSON")

    first, failed = [await redrive(shop, before["id"]) for _ in range(2)]
    assert (first["status"], first["attempts"]) == ("FAILED_AGAIN", 1)
    assert (failed["status"], failed["attempts"]) == ("FAILED_AGAIN", 2)
    assert failed["redrivenAt"] > first["redrivenAt"]

    after = await letter(shop, subject)
    assert after == failed
    assert after | {"status": "OPEN", "attempts": 0, "redrivenAt": None} == before


async def test_redrive_of_an_unknown_dead_letter_answers_404(shop: Shop) -> None:
    for service in SERVICES:
        answer = await shop.call(service, "POST", "/api/v1/ops/dead-letters/987654321/redrive")
        assert answer.status == 404, answer
        assert set(answer.body) == {"error", "message", "details"}


@contextmanager
def refusing(shop: Shop, coupon: str) -> Iterator[None]:
    """The coupon service raises on orders with this coupon, as a bug would make it."""
    name = f"refuse_{uuid4().hex}"
    with written_by_hand(shop, "coupon") as connection:
        connection.execute(
            f"CREATE TRIGGER {name} BEFORE INSERT ON holds "
            f"WHEN NEW.issued_coupon_id = '{coupon}' BEGIN SELECT RAISE(ABORT, 'a bug'); END"
        )
    try:
        yield
    finally:
        with written_by_hand(shop, "coupon") as connection:
            connection.execute(f"DROP TRIGGER {name}")


async def test_dead_letter_is_redriven_after_the_fault_is_corrected(forged_shop: Shop) -> None:
    shop = forged_shop
    product, customer = await shop.create_product(2_000, 5), await shop.create_wallet(10_000)
    coupon = await shop.create_coupon(customer)
    with refusing(shop, coupon):
        order_id = await shop.place(order(customer, (product, 1), couponId=coupon))
        found = await letter(shop, f"saga.{order_id}.OrderCreated")
        assert found["reason"] == "RAISED"
        assert "a bug" in found["error"]
        await assert_next_order_completes(shop)
        assert (await shop.get("order", f"/api/v1/orders/{order_id}"))["status"] == "PENDING"
        assert await shop.coupon_status(coupon) == ("ISSUED", None)

    assert await preview(shop, found["id"]) == (
        "would publish CouponUsed and change holds, issued: the order is unknown to coupon"
    )
    outcomes = await asyncio.gather(*(redrive(shop, found["id"]) for _ in range(5)))

    assert [(each["status"], each["attempts"]) for each in outcomes] == [("REDRIVEN", 1)] * 5
    assert (await shop.wait_until_ended(order_id))["status"] == "COMPLETED"
    await shop.wait_until_idle()
    assert [name_of(message) for message in await messages(shop, order_id)] == COMPLETED
    assert await shop.stock(product) == (4, 0)
    assert await shop.balance(customer) == 9_000
    assert await shop.coupon_status(coupon) == ("USED", order_id)
    assert await letter(shop, found["subject"]) == outcomes[0]

    assert await redrive(shop, found["id"]) == outcomes[0]  # its order has ended
    await shop.wait_until_idle()
    assert [name_of(message) for message in await messages(shop, order_id)] == COMPLETED
    assert await shop.balance(customer) == 9_000


async def test_new_durable_consumer_keeps_each_dead_letter_once(forged_shop: Shop) -> None:
    """Without its durable consumer a service handles the whole stream again."""
    shop = forged_shop
    subject = f"saga.{uuid4()}.OrderCreated"
    product, customer = await shop.create_product(2_000, 5), await shop.create_wallet(10_000)
    ended = await shop.buy(order(customer, (product, 1)))
    async with shop.nats() as client:
        await publish(client, subject, b"not JSON")
        await letter(shop, subject)
        await shop.wait_until_idle()
        before = await shop.get("coupon", "/api/v1/ops/dead-letters?size=100")
        held = await subjects(shop)

        await asyncio.to_thread(shop.command, "stop", "coupon")
        await client.jetstream().delete_consumer("SAGA", "coupon")
        await asyncio.to_thread(shop.command, "start", "coupon")

        async def has_caught_up() -> bool:
            info = await client.jetstream().consumer_info("SAGA", "coupon")
            floor = info.delivered
            return floor is not None and floor.stream_seq > 0 and not info.num_pending

        await wait_until(has_caught_up, "the coupon service has received the stream again")
    await shop.wait_until_idle()

    assert await shop.get("coupon", "/api/v1/ops/dead-letters?size=100") == before
    after = await subjects(shop)  # unsettled orders may have been retransmitted meanwhile
    assert {each: set(after[each]) for each in after} == {each: set(held[each]) for each in held}
    assert await names(shop, ended["orderId"]) == COMPLETED
