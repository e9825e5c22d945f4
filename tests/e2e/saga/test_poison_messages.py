"""A message that can't be worked on is set aside with its reason, and never stops others."""

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
from tests.kit.client import SERVICES, Json, Shop, order, wait_until

CHAIN = ["OrderCreated", "CouponUsed", "StockDecremented", "PaymentCompleted", "OrderCompleted"]


def created(order_id: str, **changes: Any) -> Json:
    """An OrderCreated that is as it should be, but for the changes."""
    line = {"productId": str(uuid4()), "quantity": 1, "price": 5}
    body: Json = {"orderId": order_id, "customerId": str(uuid4()), "items": [line]}
    return body | {"totalAmount": 5} | changes


def line(**changes: Any) -> Json:
    return {"productId": str(uuid4()), "quantity": 1, "price": 5} | changes


IDENTITY = str(uuid4())
WHOLE = created(IDENTITY)

POISON: dict[str, tuple[Any, dict[str, str], str]] = {
    # what is sent, with which headers, and a word of the explanation
    "no-json": (b"what a nice day", {}, "malformed"),
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
    """The dead letter of this subject, once it is there."""
    found: list[Json] = []

    async def there() -> bool:
        found[:] = await letters(shop, subject)
        return bool(found)

    await wait_until(there, f"{subject} is a dead letter", timeout_seconds)
    [only] = found
    return only


async def passes(shop: Shop) -> None:
    """An order that came behind all of it completes."""
    product, customer = await shop.create_product(100, 5), await shop.create_wallet(100)
    assert (await shop.buy(order(customer, (product, 1))))["status"] == "COMPLETED"


@pytest.mark.parametrize("kind", POISON)
async def test_what_nobody_can_read_is_set_aside(forged_shop: Shop, kind: str) -> None:
    shop = forged_shop
    body, headers, word = POISON[kind]
    subject = f"saga.{uuid4()}.OrderCreated"
    if isinstance(body, dict) and body["orderId"] == IDENTITY:
        subject = f"saga.{IDENTITY}.OrderCreated"
    already = {each["id"] for each in await letters(shop, subject)}

    async with shop.nats() as client:
        sequence = await publish(client, subject, body, headers)
    await passes(shop)

    [only] = [each for each in await letters(shop, subject) if each["id"] not in already]
    assert (only["stream"], only["sequence"]) == ("SAGA", sequence)
    assert only["reason"] == "UNREADABLE"
    assert word.lower() in only["error"].lower()
    assert headers.items() <= only["headers"].items()
    assert only["redrivenAt"] is None
    if isinstance(body, bytes):
        assert only["body"] == body.decode(errors="replace")
    assert set((await subjects(shop))[subject.split(".")[1]]) == {"OrderCreated"}


async def test_all_of_it_at_once_among_orders(forged_shop: Shop) -> None:
    shop = forged_shop
    product, customer = await shop.create_product(100, 100), await shop.create_wallet(10_000)
    bad = [f"saga.{uuid4()}.OrderCreated" for _ in range(30)]

    placing = asyncio.gather(*(shop.place(order(customer, (product, 1))) for _ in range(30)))
    async with shop.nats() as client:
        for subject in bad:
            await publish(client, subject, b"what a nice day")
    ids = await placing

    assert await shop.count_ends(customer) == {"COMPLETED": 30, "FAILED": 0}
    await shop.wait_until_idle()
    for order_id in ids:
        assert await names(shop, order_id) == CHAIN
    for subject in bad:
        await letter(shop, subject)


@pytest.mark.parametrize(
    ("body", "headers"),
    [(b'{"new": ' + b"[" * 200_000, {}), (b"", {"Status": "100"})],
    ids=["nested-in-an-unknown-field", "like-a-word-of-the-broker"],
)
async def test_what_breaks_a_reader(
    forged_shop: Shop, body: bytes, headers: dict[str, str]
) -> None:
    shop = forged_shop
    subject = f"saga.{uuid4()}.OrderCreated"
    async with shop.nats() as client:
        await publish(client, subject, body, headers)
    await passes(shop)
    assert (await letter(shop, subject, timeout_seconds=5))["reason"] == "UNREADABLE"


async def test_a_subject_that_is_no_text(forged_shop: Shop) -> None:
    """The broker takes any bytes as a subject."""
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
async def test_a_large_event_is_worked_on_like_any_other(forged_shop: Shop, extra: Json) -> None:
    """Fields that a reader does not know are passed over, however many there are."""
    shop = forged_shop
    order_id = str(uuid4())
    lines = [line(quantity=10**9, price=10**9) for _ in range(1_000)]
    body = created(order_id, items=lines, totalAmount=10**15, **extra)

    async with shop.nats() as client:
        await publish(client, f"saga.{order_id}.OrderCreated", body)
    await shop.wait_until_idle()

    expected = ["OrderCreated", "CouponUsed", "StockUnavailable", "CouponRestored"]
    assert await names(shop, order_id) == expected
    await passes(shop)
    for service in SERVICES:
        assert not any(order_id in each["subject"] for each in await shop.dead_letters(service))


async def test_what_no_database_can_hold_is_set_aside(forged_shop: Shop) -> None:
    """Readable, but on the way to the table our own code raises."""
    shop = forged_shop
    order_id, customer = str(uuid4()), await shop.create_wallet(1)
    coupon = await shop.create_coupon(customer, discountType="RATE", discountValue=50)
    body = created(order_id, customerId=customer, couponId=coupon, totalAmount=10**30)
    subject = f"saga.{order_id}.OrderCreated"

    async with shop.nats() as client:
        await publish(client, subject, body)
    await passes(shop)

    assert (await letter(shop, subject))["reason"] == "RAISED"
    assert await shop.coupon_status(coupon) == ("ISSUED", None)
    assert await names(shop, order_id) == ["OrderCreated"]


# ---------------------------------------------------------------- sending it again


async def redrive(shop: Shop, identity: int) -> int:
    path = f"/api/v1/ops/dead-letters/{identity}/redrive"
    answer = await shop.call("coupon", "POST", path)
    return answer.status


async def test_a_letter_that_is_still_bad_stays(forged_shop: Shop) -> None:
    shop = forged_shop
    subject = f"saga.{uuid4()}.OrderCreated"
    async with shop.nats() as client:
        await publish(client, subject, b"what a nice day")
    before = await letter(shop, subject)
    assert before["redrivenAt"] is None

    for _ in range(2):
        assert await redrive(shop, before["id"]) == 202
        await passes(shop)  # what was sent again stood before this in the queue

    after = await letter(shop, subject)
    assert after["redrivenAt"] is not None
    assert after | {"redrivenAt": None} == before


async def test_a_letter_that_does_not_exist_can_not_be_redriven(shop: Shop) -> None:
    for service in SERVICES:
        answer = await shop.call(service, "POST", "/api/v1/ops/dead-letters/987654321/redrive")
        assert answer.status == 404, answer
        assert set(answer.body) == {"error", "message", "details"}


@contextmanager
def refusing(shop: Shop, coupon: str) -> Iterator[None]:
    """Make the coupon service raise on orders with this coupon, as a bug of its would."""
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


async def test_a_letter_is_redriven_after_the_bug_is_gone(forged_shop: Shop) -> None:
    shop = forged_shop
    product, customer = await shop.create_product(2_000, 5), await shop.create_wallet(10_000)
    coupon = await shop.create_coupon(customer)
    with refusing(shop, coupon):
        order_id = await shop.place(order(customer, (product, 1), couponId=coupon))
        found = await letter(shop, f"saga.{order_id}.OrderCreated")
        assert found["reason"] == "RAISED"
        assert "a bug" in found["error"]
        await passes(shop)
        assert (await shop.get("order", f"/api/v1/orders/{order_id}"))["status"] == "PENDING"
        assert await shop.coupon_status(coupon) == ("ISSUED", None)

    answers = await asyncio.gather(*(redrive(shop, found["id"]) for _ in range(5)))

    assert answers == [202] * 5
    assert (await shop.wait_until_ended(order_id))["status"] == "COMPLETED"
    await shop.wait_until_idle()
    assert [name_of(message) for message in await messages(shop, order_id)] == CHAIN
    assert await shop.stock(product) == (4, 0)
    assert await shop.balance(customer) == 9_000
    assert await shop.coupon_status(coupon) == ("USED", order_id)
    assert (await letter(shop, found["subject"]))["redrivenAt"] is not None

    assert await redrive(shop, found["id"]) == 202  # of an order that has ended
    await shop.wait_until_idle()
    assert [name_of(message) for message in await messages(shop, order_id)] == CHAIN
    assert await shop.balance(customer) == 9_000


async def test_everything_is_delivered_anew(forged_shop: Shop) -> None:
    """Without its durable a service hears the whole stream again: each letter is kept once."""
    shop = forged_shop
    subject = f"saga.{uuid4()}.OrderCreated"
    product, customer = await shop.create_product(2_000, 5), await shop.create_wallet(10_000)
    ended = await shop.buy(order(customer, (product, 1)))
    async with shop.nats() as client:
        await publish(client, subject, b"what a nice day")
        await letter(shop, subject)
        await shop.wait_until_idle()
        before = await shop.get("coupon", "/api/v1/ops/dead-letters?size=100")
        held = await subjects(shop)

        await asyncio.to_thread(shop.command, "stop", "coupon")
        await client.jetstream().delete_consumer("SAGA", "coupon")
        await asyncio.to_thread(shop.command, "start", "coupon")

        async def heard_again() -> bool:
            info = await client.jetstream().consumer_info("SAGA", "coupon")
            floor = info.delivered
            return floor is not None and floor.stream_seq > 0 and not info.num_pending

        await wait_until(heard_again, "the coupon service has been given the stream again")
    await shop.wait_until_idle()

    assert await shop.get("coupon", "/api/v1/ops/dead-letters?size=100") == before
    after = await subjects(shop)  # what waits for an answer may have been said again meanwhile
    assert {each: set(after[each]) for each in after} == {each: set(held[each]) for each in held}
    assert await names(shop, ended["orderId"]) == CHAIN
