"""Leases on counted resources in a real Redis: limits, expiry, and outages."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

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
async def counted(redis_server: RedisServer) -> AsyncIterator[CountedLeases]:
    counted = CountedLeases(redis_server.url, marker_seconds=60)
    yield counted
    await counted.close()


async def limit(counted: CountedLeases, **limits: int) -> None:
    """Enable these resources with so many available units."""
    await counted.enable(limits)
    for resource, available in limits.items():
        assert await counted.renew(resource, available) == 0


async def test_all_units_are_leased_and_no_more(counted: CountedLeases) -> None:
    await limit(counted, cake=100)
    answers = await asyncio.gather(*(counted.lease(f"{i}", {CAKE: 1}) for i in range(500)))
    assert Counter(each.status for each in answers) == {"LEASED": 100, "SOLD_OUT": 400}
    assert await counted.state(CAKE) == (100, 100)
    assert answers[-1] == LeaseResult(LeaseStatus.SOLD_OUT, CAKE, 0)


async def test_lease_of_several_resources_is_all_or_nothing(counted: CountedLeases) -> None:
    await limit(counted, cake=5, pie=1)
    assert await counted.lease("a", {CAKE: 2, PIE: 1}) == LEASED
    assert await counted.lease("b", {CAKE: 2, PIE: 1}) == LeaseResult(LeaseStatus.SOLD_OUT, PIE, 0)
    assert (await counted.state(CAKE), await counted.state(PIE)) == ((5, 2), (1, 1))
    assert await counted.lease("c", {CAKE: 4}) == LeaseResult(LeaseStatus.SOLD_OUT, CAKE, 3)
    assert await counted.lease("d", {CAKE: 3, "not counted": 1}) == LEASED


async def test_ending_a_lease_is_idempotent(counted: CountedLeases) -> None:
    await limit(counted, cake=5)
    await counted.lease("a", {CAKE: 2})
    for _ in range(3):
        await counted.end(["a", "another"])
        assert await counted.state(CAKE) == (5, 0)


async def test_renew_sets_the_limit_and_ends_decided_leases(
    counted: CountedLeases,
) -> None:
    await limit(counted, cake=5)
    await counted.lease("bought", {CAKE: 2})
    await counted.lease("refused", {CAKE: 1})
    await counted.lease("on its way", {CAKE: 1})
    assert await counted.renew(CAKE, 3, ["bought", "refused", "never leased"]) == -2
    assert await counted.state(CAKE) == (3, 1)
    assert await counted.renew(CAKE, 3) == 0


async def test_lease_expires(counted: CountedLeases, monkeypatch: pytest.MonkeyPatch) -> None:
    await limit(counted, cake=1)
    monkeypatch.setattr(leases, "LEASE_SECONDS", 0.2)
    assert await counted.lease("lost", {CAKE: 1}) == LEASED
    monkeypatch.undo()
    assert (await counted.lease("next", {CAKE: 1})).status is LeaseStatus.SOLD_OUT

    async def free_again() -> bool:
        return await counted.lease("next", {CAKE: 1}) == LEASED

    await wait_until(free_again, "the lease has expired")
    assert await counted.state(CAKE) == (1, 1)
    await counted.end(["lost"])
    assert await counted.state(CAKE) == (1, 1)


async def test_lease_under_a_known_marker_is_known(counted: CountedLeases) -> None:
    await limit(counted, cake=1)
    assert await counted.lease("a", {CAKE: 1}, "key") == LEASED
    assert await counted.lease("b", {CAKE: 1}, "key") == KNOWN
    assert (await counted.lease("c", {CAKE: 1}, "another")).status is LeaseStatus.SOLD_OUT
    await counted.end(["a"], "key")  # it failed
    assert await counted.lease("d", {CAKE: 1}, "key") == LEASED


async def test_resource_without_a_limit_is_open(counted: CountedLeases) -> None:
    assert await counted.lease("a", {CAKE: 1}) == OPEN
    assert await counted.enable([CAKE]) == 1
    assert await counted.enable([CAKE]) == 0
    assert await counted.lease("a", {CAKE: 1}) == OPEN  # not renewed yet
    assert await counted.renew(CAKE, 0) == 0
    assert (await counted.lease("a", {CAKE: 1})).status is LeaseStatus.SOLD_OUT
    await counted.disable(CAKE)
    assert await counted.enabled() == frozenset()
    assert await counted.lease("a", {CAKE: 1}) == OPEN
    assert await counted.renew(CAKE, 5) == 0
    assert await counted.state(CAKE) is None


async def test_every_lease_is_open_while_redis_is_away(
    counted: CountedLeases, redis_server: RedisServer
) -> None:
    await limit(counted, cake=0)
    await redis_server.kill()
    for order in "abc":
        assert await counted.lease(order, {CAKE: 1}) == OPEN
    assert await counted.enabled() == frozenset()
    await redis_server.start()

    async def back() -> bool:
        return await counted.enable([CAKE]) == 1

    await wait_until(back, "Redis is called again, and is empty")
    assert await counted.lease("d", {CAKE: 1}) == OPEN
    await counted.renew(CAKE, 0)
    assert (await counted.lease("d", {CAKE: 1})).status is LeaseStatus.SOLD_OUT


async def test_loss_is_recorded_for_as_long_as_markers(counted: CountedLeases) -> None:
    assert not await counted.may_lack_markers()
    await counted.record_loss()
    assert await counted.may_lack_markers()
