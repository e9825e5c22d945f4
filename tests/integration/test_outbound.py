"""Calls of an external system: failures, the circuit breaker, and connections."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from prometheus_client import REGISTRY

from chassis.outbound import BreakerOpen, OutboundClient, Unavailable, UnusableAnswer
from tests.kit.client import free_port, wait_until

FAILURES_TO_OPEN = 3
SYSTEM = "shop_next_door"


class External:
    """An external system that answers with `status`, and counts requests."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.status = 200
        self.requests = 0
        self.connections: set[object] = set()

    async def handle(self, request: web.Request) -> web.Response:
        self.requests += 1
        self.connections.add(request.transport)
        headers = {"Location": self.url} if self.status == 302 else None
        return web.Response(status=self.status, text="fine", headers=headers)


@pytest.fixture
async def external() -> AsyncIterator[External]:
    external = External(free_port())
    app = web.Application()
    app.router.add_route("*", "/", external.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(external.url.rpartition(":")[2])).start()
    yield external
    await runner.cleanup()


@pytest.fixture
async def client() -> AsyncIterator[OutboundClient]:
    client = OutboundClient(
        SYSTEM,
        timeout_seconds=1,
        failures_to_open=FAILURES_TO_OPEN,
        recovery_seconds=0.3,
    )
    yield client
    await client.close()


async def ask(client: OutboundClient, url: str) -> str:
    async with client.request("GET", url) as response:
        if response.status >= 500:
            raise Unavailable(f"answered {response.status}", wait_seconds=7)
        return await response.text()


async def read_and_reject(client: OutboundClient, url: str) -> None:
    async with client.request("GET", url) as response:
        await response.read()
        raise UnusableAnswer("about something else")


async def fail(client: OutboundClient, external: External) -> None:
    """Fail until the breaker opens."""
    external.status = 500
    for _ in range(FAILURES_TO_OPEN):
        with pytest.raises(Unavailable, match="answered 500"):
            await ask(client, external.url)
    assert client.breaker_is_open


async def recovery(client: OutboundClient) -> None:
    async def over() -> bool:
        return not client.breaker_is_open

    await wait_until(over, "the breaker lets a call through")


async def test_answer_is_returned_and_its_connection_used_again(
    client: OutboundClient, external: External
) -> None:
    for _ in range(3):
        assert await ask(client, external.url) == "fine"
    assert len(external.connections) == 1


async def test_close_drops_connections_and_a_later_request_opens_new_ones(
    client: OutboundClient, external: External
) -> None:
    await ask(client, external.url)
    await client.close()
    assert await ask(client, external.url) == "fine"
    assert len(external.connections) == 2


async def test_connection_of_an_unusable_answer_is_not_used_again(
    client: OutboundClient, external: External
) -> None:
    with pytest.raises(UnusableAnswer):
        await read_and_reject(client, external.url)
    assert await ask(client, external.url) == "fine"
    assert len(external.connections) == 2


async def test_unusable_answers_do_not_open_the_breaker(
    client: OutboundClient, external: External
) -> None:
    for _ in range(2 * FAILURES_TO_OPEN):
        with pytest.raises(UnusableAnswer):
            await read_and_reject(client, external.url)
    assert (client.breaker_is_open, client.problem) == (False, None)


async def test_redirect_is_not_followed(client: OutboundClient, external: External) -> None:
    external.status = 302
    assert await ask(client, external.url) == "fine"
    assert external.requests == 1


async def test_requests_are_counted_by_outcome(client: OutboundClient, external: External) -> None:
    def value(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, {"system": SYSTEM} | labels) or 0

    def counts() -> list[float]:
        outcomes = ("answered", "unusable", "failed", "not_sent")
        return [value("saga_external_requests_total", outcome=each) for each in outcomes]

    before, took = counts(), value("saga_external_request_seconds_count")
    await ask(client, external.url)
    with pytest.raises(UnusableAnswer):
        await read_and_reject(client, external.url)
    assert value("saga_external_breaker_state") == 0
    await fail(client, external)
    with pytest.raises(BreakerOpen):
        await ask(client, external.url)
    counted = [now - then for now, then in zip(counts(), before, strict=True)]
    assert counted == [1, 1, FAILURES_TO_OPEN, 1]
    assert value("saga_external_request_seconds_count") - took == 2 + FAILURES_TO_OPEN
    assert value("saga_external_breaker_state") == 2
    assert (client.problem or "").startswith("away: 3 requests in a row failed, the last one: ")
    await recovery(client)
    assert value("saga_external_breaker_state") == 1


async def test_broken_connection_is_unavailable(client: OutboundClient) -> None:
    with pytest.raises(Unavailable, match="ClientConnectorError"):
        await ask(client, f"http://127.0.0.1:{free_port()}")


async def test_unavailable_keeps_how_long_to_wait(
    client: OutboundClient, external: External
) -> None:
    external.status = 503
    with pytest.raises(Unavailable) as raised:
        await ask(client, external.url)
    assert raised.value.wait_seconds == 7


async def test_no_request_is_sent_while_the_breaker_is_open(
    client: OutboundClient, external: External
) -> None:
    await fail(client, external)
    with pytest.raises(BreakerOpen, match="the circuit breaker of the shop next door is open"):
        await ask(client, external.url)
    assert external.requests == FAILURES_TO_OPEN


async def test_one_call_is_allowed_after_the_recovery_time_and_all_after_a_success(
    client: OutboundClient, external: External
) -> None:
    assert client.max_calls(20) == 20
    await fail(client, external)
    assert client.max_calls(20) == 0
    await recovery(client)
    assert client.max_calls(20) == 1
    external.status = 200
    await ask(client, external.url)
    assert client.max_calls(20) == 20


async def test_failed_trial_opens_the_breaker_again(
    client: OutboundClient, external: External
) -> None:
    await fail(client, external)
    await recovery(client)
    with pytest.raises(Unavailable, match="answered 500"):
        await ask(client, external.url)
    assert client.breaker_is_open
