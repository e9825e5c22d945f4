"""Admission limits of an instance: orders per second, and the size of a body."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from uuid import uuid4

import pytest
import pytest_asyncio

from tests.kit.client import Shop, open_shop, order, wait_until
from tests.kit.service_instances import second_instances

ORDERS_PER_SECOND = 10
MAX_BODY_BYTES = 2048
ORDERS = "/api/v1/orders"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def limited_addresses(stack: Mapping[str, str]) -> AsyncIterator[Mapping[str, str]]:
    limits = {
        "ORDERS_PER_SECOND": str(ORDERS_PER_SECOND),
        "MOST_BODY_BYTES": str(MAX_BODY_BYTES),
    }
    async with second_instances(stack, ["order", "payment"], **limits) as addresses:
        yield addresses


@pytest.fixture
async def limited_shop(limited_addresses: Mapping[str, str]) -> AsyncIterator[Shop]:
    """Instances with low limits, beside those of the shared stack."""
    async with open_shop(limited_addresses) as shop:
        yield shop


async def test_orders_above_the_limit_are_rejected_with_retry_after(
    shop: Shop, limited_shop: Shop
) -> None:
    customer, cake = await shop.create_wallet(1_000_000), await shop.create_product(1, 1_000)
    answers = [
        await limited_shop.call("order", "POST", ORDERS, order(customer, (cake, 1)))
        for _ in range(100)
    ]
    statuses = Counter(answer.status for answer in answers)
    assert set(statuses) == {202, 503}
    rejected = [answer for answer in answers if answer.status == 503]
    assert {answer.body["error"] for answer in rejected} == {"RETRY_LATER"}
    assert {answer.headers["Retry-After"] for answer in rejected} == {"1"}
    assert (await shop.count_ends(customer))["COMPLETED"] == statuses[202]
    metrics = await limited_shop.get("order", "/metrics")
    assert f"shop_orders_rejected_total {statuses[503]}.0" in metrics


async def test_checkouts_count_against_the_same_limit(limited_shop: Shop) -> None:
    path = f"/api/v1/carts/{uuid4()}/checkout"
    errors: set[str] = set()

    async def both_errors_occurred() -> bool:
        errors.add((await limited_shop.call("order", "POST", path, {})).body["error"])
        return len(errors) == 2

    await wait_until(both_errors_occurred, "some checkouts were admitted and some rejected")
    assert errors == {"CART_EMPTY", "RETRY_LATER"}


async def test_other_routes_have_no_limit(limited_shop: Shop) -> None:
    for _ in range(5 * ORDERS_PER_SECOND):
        await limited_shop.get("order", f"{ORDERS}?size=1")


async def test_body_above_the_size_limit_is_refused(limited_shop: Shop) -> None:
    body = {"customerId": "x" * MAX_BODY_BYTES}
    answer = await limited_shop.call("payment", "POST", "/api/v1/wallets", body)
    assert answer.status == 413, answer
    assert answer.body["error"] == "BODY_TOO_LARGE"
