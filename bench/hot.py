"""Ten thousand buyers for a hundred units, without and with hot-product admission."""

from collections.abc import Callable, Mapping
from time import perf_counter

import msgspec

from bench import shop
from bench.generator import ends_of, flood
from tests.kit.client import Shop, order, wait_until

UNITS = 100
BUYERS = 10_000


class Rush(msgspec.Struct, frozen=True):
    """`seconds`: until each buyer had an answer and every order had ended."""

    results: dict[str, int]
    seconds: float
    available: int


class SoldOut(msgspec.Struct, frozen=True):
    """The cost of orders after the last unit is sold. `new_*`: their effect on database, stream and
    product service."""

    per_second: float
    results: dict[str, int]
    new_orders: int
    new_messages: int
    new_events_handled: int


class Hot(msgspec.Struct, frozen=True):
    without_admission: Rush
    with_admission: Rush
    sold_out: SoldOut


async def measure(environment: Mapping[str, str], report: Callable[[str], None]) -> Hot:
    async with shop.opened(environment) as (opened, everyday):
        customers = [await opened.create_wallet(shop.BALANCE) for _ in range(shop.CUSTOMERS)]

        async def rush(*, admission: bool) -> tuple[Rush, shop.ShopTarget]:
            product = await opened.create_product(1_000, UNITS)
            if admission:
                await _enable_admission(opened, product)
            bodies = [order(customer, (product, 1)) for customer in customers]
            target = everyday.another(bodies)
            began_at = perf_counter()
            results = await ends_of(await flood(target, BUYERS))
            await opened.wait_until_idle(platform=False)
            seconds = round(perf_counter() - began_at, 1)
            available, reserved = await opened.stock(product)
            return Rush(results, seconds, available + reserved), target

        without_admission, _ = await rush(admission=False)
        report(f"{BUYERS:,} buyers for {UNITS} units, no admission: {without_admission}")
        with_admission, target = await rush(admission=True)
        report(f"{BUYERS:,} buyers for {UNITS} units, with admission: {with_admission}")
        before = await _counters(opened)
        began_at = perf_counter()
        results = await ends_of(await flood(target, BUYERS))
        per_second = round(BUYERS / (perf_counter() - began_at), 1)
        await opened.wait_until_idle(platform=False)
        after = await _counters(opened)
    orders, messages, received = (new - old for new, old in zip(after, before, strict=True))
    sold_out = SoldOut(per_second, results, orders, messages, received)
    report(f"sold out: {sold_out}")
    return Hot(without_admission, with_admission, sold_out)


async def _enable_admission(opened: Shop, product: str) -> None:
    path = f"/api/v1/admin/products/{product}/hot"
    answer = await opened.call("order", "POST", path)
    assert answer.status < 300, answer

    async def limit_is_known() -> bool:
        answer = await opened.call("order", "POST", path)
        return bool(answer.body["limit"] == UNITS)

    await wait_until(limit_is_known, "the admission is enabled")


async def _counters(opened: Shop) -> tuple[int, int, int]:
    """Orders in the database, messages in the stream, events that product has handled."""
    orders = (await opened.get("order", "/api/v1/orders?size=1"))["total"]
    async with opened.nats() as client:
        messages = (await client.jetstream().stream_info("SAGA")).state.last_seq
    metrics = (await opened.get("product", "/metrics")).splitlines()
    received = sum(
        float(line.rpartition(" ")[2])
        for line in metrics
        if line.startswith("saga_events_consumed_total{")
    )
    return orders, messages, int(received)
