"""The limits at the door, on a stack of their own, set low."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from uuid import uuid4

import pytest

from tests.kit.client import Shop, open_shop, order, running_stack, wait_until

ORDERS_PER_SECOND = 10
MAX_BODY_BYTES = 2048
ORDERS = "/api/v1/orders"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    limits = {
        "ORDERS_PER_SECOND": str(ORDERS_PER_SECOND),
        "MOST_BODY_BYTES": str(MAX_BODY_BYTES),
    }
    with running_stack(tmp_path_factory.mktemp("limits"), **limits) as environment:
        yield environment


@pytest.fixture
async def limited(environment: Mapping[str, str]) -> AsyncIterator[Shop]:
    async with open_shop(environment) as shop:
        yield shop


async def test_more_orders_than_the_limit_are_asked_to_come_back(limited: Shop) -> None:
    customer, cake = await limited.create_wallet(1_000_000), await limited.create_product(1, 1_000)
    answers = [
        await limited.call("order", "POST", ORDERS, order(customer, (cake, 1))) for _ in range(100)
    ]
    statuses = Counter(answer.status for answer in answers)
    assert set(statuses) == {202, 503}
    refused = [answer for answer in answers if answer.status == 503]
    assert {answer.body["error"] for answer in refused} == {"RETRY_LATER"}
    assert {answer.headers["Retry-After"] for answer in refused} == {"1"}
    assert (await limited.count_ends(customer))["COMPLETED"] == statuses[202]
    metrics = await limited.get("order", "/metrics")
    assert f"shop_orders_turned_away_total {statuses[503]}.0" in metrics


async def test_checkouts_come_through_the_same_door(limited: Shop) -> None:
    path = f"/api/v1/carts/{uuid4()}/checkout"
    seen: set[str] = set()

    async def both() -> bool:
        seen.add((await limited.call("order", "POST", path, {})).body["error"])
        return len(seen) == 2

    await wait_until(both, "some were let in and some turned away")
    assert seen == {"CART_EMPTY", "RETRY_LATER"}


async def test_other_routes_are_not_limited_with_it(limited: Shop) -> None:
    for _ in range(5 * ORDERS_PER_SECOND):
        await limited.get("order", f"{ORDERS}?size=1")


async def test_a_longer_body_than_the_limit_is_refused(limited: Shop) -> None:
    body = {"customerId": "x" * MAX_BODY_BYTES}
    answer = await limited.call("payment", "POST", "/api/v1/wallets", body)
    assert answer.status == 413, answer
    assert answer.body["error"] == "BODY_TOO_LARGE"
