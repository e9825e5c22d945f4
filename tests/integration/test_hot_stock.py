"""The gate's counters in a real Redis: leases, limits, and what becomes of them."""

import asyncio
from collections import Counter

import pytest

from chassis.redis import leases
from chassis.redis.leases import CountedLeases, LeaseResult, LeaseStatus
from tests.integration.redis_server import RedisServer
from tests.kit.client import wait_until

CAKE, PIE = "cake", "pie"
OPEN, LEASED, KNOWN = (
    LeaseResult(LeaseStatus.OPEN),
    LeaseResult(LeaseStatus.LEASED),
    LeaseResult(LeaseStatus.KNOWN),
)


@pytest.fixture
def gate(redis_server: RedisServer) -> CountedLeases:
    return CountedLeases(redis_server.url, marker_seconds=60)


async def heated(gate: CountedLeases, **limits: int) -> None:
    await gate.enable(limits)
    for product, limit in limits.items():
        assert await gate.renew(product, limit) == 0


async def test_all_units_are_leased_and_not_one_more(gate: CountedLeases) -> None:
    await heated(gate, cake=100)
    answers = await asyncio.gather(*(gate.lease(f"{i}", {CAKE: 1}) for i in range(500)))
    assert Counter(each.status for each in answers) == {"LEASED": 100, "SOLD_OUT": 400}
    assert await gate.state(CAKE) == (100, 100)
    assert answers[-1] == LeaseResult(LeaseStatus.SOLD_OUT, CAKE, 0)
    await gate.close()


async def test_an_order_gets_all_its_lines_or_none(gate: CountedLeases) -> None:
    await heated(gate, cake=5, pie=1)
    assert await gate.lease("a", {CAKE: 2, PIE: 1}) == LEASED
    assert await gate.lease("b", {CAKE: 2, PIE: 1}) == LeaseResult(LeaseStatus.SOLD_OUT, PIE, 0)
    assert (await gate.state(CAKE), await gate.state(PIE)) == ((5, 2), (1, 1))
    assert await gate.lease("c", {CAKE: 4}) == LeaseResult(LeaseStatus.SOLD_OUT, CAKE, 3)
    assert await gate.lease("d", {CAKE: 3, "not hot": 1}) == LEASED
    await gate.close()


async def test_a_lease_ends_once(gate: CountedLeases) -> None:
    await heated(gate, cake=5)
    await gate.lease("a", {CAKE: 2})
    for _ in range(3):
        await gate.end(["a", "somebody else"])
        assert await gate.state(CAKE) == (5, 0)
    await gate.close()


async def test_the_databases_word_ends_leases_and_renews_the_limit_in_one(
    gate: CountedLeases,
) -> None:
    await heated(gate, cake=5)
    await gate.lease("bought", {CAKE: 2})
    await gate.lease("refused", {CAKE: 1})
    await gate.lease("on its way", {CAKE: 1})
    assert await gate.renew(CAKE, 3, ["bought", "refused", "never leased"]) == -2
    assert await gate.state(CAKE) == (3, 1)
    assert await gate.renew(CAKE, 3) == 0
    await gate.close()


async def test_a_lease_whose_order_never_came_to_be_expires(
    gate: CountedLeases, monkeypatch: pytest.MonkeyPatch
) -> None:
    await heated(gate, cake=1)
    monkeypatch.setattr(leases, "LEASE_SECONDS", 0.2)
    assert await gate.lease("lost", {CAKE: 1}) == LEASED
    monkeypatch.undo()
    assert (await gate.lease("next", {CAKE: 1})).status is LeaseStatus.SOLD_OUT

    async def free_again() -> bool:
        return await gate.lease("next", {CAKE: 1}) == LEASED

    await wait_until(free_again, "the lost lease has expired")
    assert await gate.state(CAKE) == (1, 1)
    await gate.end(["lost"])
    assert await gate.state(CAKE) == (1, 1)
    await gate.close()


async def test_a_winners_key_is_known(gate: CountedLeases) -> None:
    await heated(gate, cake=1)
    assert await gate.lease("a", {CAKE: 1}, "key") == LEASED
    assert await gate.lease("b", {CAKE: 1}, "key") == KNOWN
    assert (await gate.lease("c", {CAKE: 1}, "another")).status is LeaseStatus.SOLD_OUT
    await gate.end(["a"], "key")  # it came to nothing
    assert await gate.lease("d", {CAKE: 1}, "key") == LEASED
    await gate.close()


async def test_without_a_limit_nobody_is_refused(gate: CountedLeases) -> None:
    assert await gate.lease("a", {CAKE: 1}) == OPEN
    assert await gate.enable([CAKE]) == 1
    assert await gate.enable([CAKE]) == 0
    assert await gate.lease("a", {CAKE: 1}) == OPEN  # product has not spoken yet
    assert await gate.renew(CAKE, 0) == 0
    assert (await gate.lease("a", {CAKE: 1})).status is LeaseStatus.SOLD_OUT
    await gate.disable(CAKE)
    assert await gate.products() == frozenset()
    assert await gate.lease("a", {CAKE: 1}) == OPEN
    assert await gate.renew(CAKE, 5) == 0
    assert await gate.state(CAKE) is None
    await gate.close()


async def test_while_redis_is_away_the_gate_is_open(
    gate: CountedLeases, redis_server: RedisServer
) -> None:
    await heated(gate, cake=0)
    await redis_server.kill()
    for order in "abc":
        assert await gate.lease(order, {CAKE: 1}) == OPEN
    assert await gate.products() == frozenset()
    await redis_server.start()

    async def back() -> bool:
        return await gate.enable([CAKE]) == 1

    await wait_until(back, "Redis is used again, and is empty")
    assert await gate.lease("d", {CAKE: 1}) == OPEN
    await gate.renew(CAKE, 0)
    assert (await gate.lease("d", {CAKE: 1})).status is LeaseStatus.SOLD_OUT
    await gate.close()


async def test_a_loss_is_remembered_for_as_long_as_keys_are(gate: CountedLeases) -> None:
    assert not await gate.may_have_forgotten()
    await gate.note_loss()
    assert await gate.may_have_forgotten()
    await gate.close()
