"""Ten thousand buyers for a hundred units, without the gate and with it."""

from collections.abc import Callable, Mapping
from time import perf_counter

import msgspec

from bench import shop
from bench.generator import ends_of, flood
from tests.kit.client import Shop, order, wait_until

UNITS = 100
BUYERS = 10_000


class Rush(msgspec.Struct, frozen=True):
    """`seconds`: until the last of the buyers had an answer and every order had ended."""

    results: dict[str, int]
    seconds: float
    available: int


class SoldOut(msgspec.Struct, frozen=True):
    """What those cost who come too late. `new_*`: what they left behind in database, stream and at
    the product service."""

    per_second: float
    results: dict[str, int]
    new_orders: int
    new_messages: int
    new_events_heard: int


class Hot(msgspec.Struct, frozen=True):
    without_gate: Rush
    with_gate: Rush
    sold_out: SoldOut


async def measure(environment: Mapping[str, str], say: Callable[[str], None]) -> Hot:
    async with shop.opened(environment) as (opened, everyday):
        customers = [await opened.create_wallet(shop.BALANCE) for _ in range(shop.CUSTOMERS)]

        async def rush(*, gate: bool) -> tuple[Rush, shop.ShopTarget]:
            product = await opened.create_product(1_000, UNITS)
            if gate:
                await _put_gate_up(opened, product)
            bodies = [order(customer, (product, 1)) for customer in customers]
            target = everyday.another(bodies)
            began_at = perf_counter()
            results = await ends_of(await flood(target, BUYERS))
            await opened.wait_until_idle(platform=False)
            seconds = round(perf_counter() - began_at, 1)
            available, reserved = await opened.stock(product)
            return Rush(results, seconds, available + reserved), target

        without_gate, _ = await rush(gate=False)
        say(f"{BUYERS:,} buyers for {UNITS} units, no gate: {without_gate}")
        with_gate, target = await rush(gate=True)
        say(f"{BUYERS:,} buyers for {UNITS} units, with the gate: {with_gate}")
        before = await _counters(opened)
        began_at = perf_counter()
        results = await ends_of(await flood(target, BUYERS))
        per_second = round(BUYERS / (perf_counter() - began_at), 1)
        await opened.wait_until_idle(platform=False)
        after = await _counters(opened)
    orders, messages, received = (new - old for new, old in zip(after, before, strict=True))
    sold_out = SoldOut(per_second, results, orders, messages, received)
    say(f"sold out: {sold_out}")
    return Hot(without_gate, with_gate, sold_out)


async def _put_gate_up(opened: Shop, product: str) -> None:
    path = f"/api/v1/admin/products/{product}/hot"
    answer = await opened.call("order", "POST", path)
    assert answer.status < 300, answer

    async def knows_its_limit() -> bool:
        answer = await opened.call("order", "POST", path)
        return bool(answer.body["limit"] == UNITS)

    await wait_until(knows_its_limit, "the gate stands")


async def _counters(opened: Shop) -> tuple[int, int, int]:
    """Orders in the database, messages in the stream, events that product has heard."""
    orders = (await opened.get("order", "/api/v1/orders?size=1"))["total"]
    async with opened.nats() as client:
        messages = (await client.jetstream().stream_info("SAGA")).state.last_seq
    metrics = (await opened.get("product", "/metrics")).splitlines()
    received = sum(
        float(line.rpartition(" ")[2])
        for line in metrics
        if line.startswith("saga_events_heard_total{")
    )
    return orders, messages, int(received)
