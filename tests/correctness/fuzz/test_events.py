"""Every service handles any message in the streams; malformed ones become dead letters."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple
from uuid import uuid4

import msgspec
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.contract import CONTRACT, CouponUsed, Line
from saga import envelope
from saga.envelope import MalformedMessage
from saga.event import Event
from tests.correctness.fuzz.bodies import FRESH_IDS, Ids
from tests.correctness.fuzz.examples import drawn, making
from tests.correctness.fuzz.messages import (
    MUTATIONS,
    Message,
    Mutation,
    headers_of,
    message,
    mutated,
    under_any_subject,
    with_any_headers,
)
from tests.correctness.fuzz.observation import (
    FLOW,
    blocked,
    has_failed,
    published,
    running,
    waiting,
    wrongly_handled,
)
from tests.e2e.saga.broker_stream import written_by_hand
from tests.kit.client import SERVICES, Shop, open_shop, order, wait_until

RECEIVED = [event for event in CONTRACT if FLOW.consumers(event)]
EACH_EVENT = pytest.mark.parametrize("event_type", RECEIVED, ids=lambda event: event.__name__)

A_FEW = 4
"""Examples of each mutation of each event."""


class Real(NamedTuple):
    """Ids of what is there: an order that has ended, and what it was made of."""

    order: str
    customer: str
    product: str
    coupon: str

    @property
    def shown_at(self) -> dict[str, tuple[str, ...]]:
        """The routes by which each service shows its rows about them."""
        return {
            "order": (f"orders/{self.order}", f"orders/{self.order}/trace", "orders"),
            "product": (f"products/{self.product}", f"products/{self.product}/stock/history"),
            "coupon": (f"issued-coupons/{self.coupon}",),
            "payment": (f"wallets/{self.customer}/transactions", f"payments?orderId={self.order}"),
        }


@pytest.fixture(scope="module")
def real(fuzzed_stack: Mapping[str, str]) -> Real:
    async def make() -> Real:
        async with open_shop(fuzzed_stack) as shop:
            return await something_real(shop)

    return asyncio.run(make())


async def something_real(shop: Shop) -> Real:
    product, customer = await shop.create_product(100, 1_000), await shop.create_wallet(1_000_000)
    coupon = await shop.create_coupon(customer, discountValue=10)
    ended = await shop.buy(order(customer, (product, 1), couponId=coupon))
    return Real(ended["orderId"], customer, product, coupon)


async def handled(shop: Shop, messages: Iterable[Message]) -> None:
    """Assert that the services handle all of these rightly, and go on as before."""
    before = running(shop)
    sent = await published(shop, messages)
    assert await blocked(shop, sent) == []
    await works(shop)
    assert [
        each for service in SERVICES async for each in wrongly_handled(shop, service, sent)
    ] == []
    assert [service for service in SERVICES if await has_failed(shop, service)] == []
    assert running(shop) == before


async def works(shop: Shop) -> None:
    """Assert that an order completes."""
    product, customer = await shop.create_product(100, 5), await shop.create_wallet(100)
    assert (await shop.buy(order(customer, (product, 1))))["status"] == "COMPLETED"


async def shown(shop: Shop, real: Real) -> None:
    """Assert that the services' rows about it can be read."""
    for service, paths in real.shown_at.items():
        for path in paths:
            await shop.get(service, f"/api/v1/{path}")


def examples(
    mutations: Iterable[Mutation], event_types: Iterable[type[Event]], ids: Ids
) -> list[Message]:
    return [
        example
        for event_type in event_types
        for mutation in mutations
        for example in drawn(mutated(mutation, event_type, ids), A_FEW)
    ]


@EACH_EVENT
async def test_mutated_events_are_handled_or_dead_lettered(
    fuzzed_shop: Shop, real: Real, event_type: type[Event]
) -> None:
    ids = st.sampled_from(real) | FRESH_IDS
    await handled(fuzzed_shop, examples(MUTATIONS, [event_type], ids))
    await shown(fuzzed_shop, real)


@pytest.mark.parametrize("mutation", [under_any_subject, with_any_headers])
async def test_messages_that_no_client_library_would_send(
    doomed_shop: Shop, mutation: Mutation
) -> None:
    real = await something_real(doomed_shop)
    ids = st.sampled_from(real) | FRESH_IDS
    await handled(doomed_shop, examples([mutation], RECEIVED, ids))
    await shown(doomed_shop, real)


async def test_large_events_that_arrive_at_once(doomed_shop: Shop) -> None:
    """Together they name more products than a database takes in one statement."""
    with held_up(doomed_shop, "product"):
        sent = await published(doomed_shop, [of_many_products() for _ in range(90)])

        async def all_wait() -> bool:
            return await waiting(doomed_shop, "product") >= len(sent)

        await wait_until(all_wait, "all of them wait in the product service's mailbox")
    assert await blocked(doomed_shop, sent) == []
    await works(doomed_shop)


@contextmanager
def held_up(shop: Shop, service: str) -> Iterator[None]:
    """The service can commit nothing meanwhile, so that what arrives is one batch afterwards."""
    url = shop.environment.get(f"{service.upper()}_DATABASE_URL")
    if url is None:
        with written_by_hand(shop, service):
            yield
    else:
        with psycopg.connect(url.replace("+psycopg", "")) as connection:
            connection.execute("LOCK TABLE inbox IN ACCESS EXCLUSIVE MODE")
            yield


def of_many_products() -> Message:
    """About the largest message that the broker takes."""
    items = tuple(Line(product_id=str(uuid4()), quantity=1, price=0) for _ in range(3_000))
    event = CouponUsed(
        order_id=str(uuid4()),
        customer_id=str(uuid4()),
        items=items,
        total_amount=0,
        discount_amount=0,
        payable_amount=0,
    )
    return message(event, msgspec.json.encode(event), letter=False)


@making(200)
@given(
    st.sampled_from(RECEIVED).flatmap(
        lambda event: st.one_of(*(mutated(each, event, FRESH_IDS) for each in MUTATIONS))
    )
)
def test_decoding_gives_an_event_or_a_reason(sent: Message) -> None:
    """The same without a server: Hypothesis finds the smallest message that is decoded wrongly."""
    reason = ""
    try:
        envelope.decode(CONTRACT, sent.subject.decode(), sent.body, headers_of(sent))
    except MalformedMessage as problem:
        reason = str(problem)
    if sent.letter is not None and sent.event_name in CONTRACT.names:
        assert bool(reason) == sent.letter
