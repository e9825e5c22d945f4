"""The data platform's client: acceptances, failures, and the circuit breaker."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from dataplatform import sender, store
from dataplatform.commands import DeliveryAccepted, DeliveryFailed
from dataplatform.domain import LEASE_SECONDS, CompletedOrder
from dataplatform.sender import Sender
from dataplatform.unit_of_work import DeliveryUnitOfWork
from events.contract import Line
from saga.unit_of_work import Rows
from tests.kit.client import free_port, wait_until
from tests.kit.data_platform import behave, forget, simulated, statement

NOW = datetime(2030, 1, 1, tzinfo=UTC)
ORDER = "11111111-1111-4111-8111-111111111111"


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "CALL_TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr(sender, "RECOVERY_SECONDS", 1)


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    async with simulated(tmp_path / "platform.db") as url:
        yield url


@pytest.fixture
async def client(url: str) -> AsyncIterator[Sender]:
    client = Sender(f"{url}/v1/orders", lambda: NOW)
    yield client
    await client.close()


def order(number: int = 1) -> CompletedOrder:
    return CompletedOrder(
        order_id=f"{ORDER[:-2]}{number:02}",
        customer_id=ORDER,
        items=(Line(product_id=ORDER, quantity=1, price=70),),
        total_amount=70,
        discount_amount=0,
        payable_amount=70,
        completed_at=NOW,
    )


async def delivery_failed(client: Sender, wanted: CompletedOrder) -> DeliveryFailed:
    answer = await client(wanted)
    assert isinstance(answer, DeliveryFailed)
    assert answer.order_id == wanted.order_id
    return answer


async def breaker_closing(client: Sender) -> None:
    async def lets_a_call_through() -> bool:
        return not client.breaker_is_open

    await wait_until(lets_a_call_through, "the breaker lets a call through")


async def test_order_is_accepted_once_however_often_it_is_sent(client: Sender, url: str) -> None:
    for _ in range(3):
        assert await client(order()) == DeliveryAccepted(order_id=order().order_id)
    [line] = await statement(url)
    assert (line["key"], line["deliveries"]) == (order().order_id, 3)
    assert line["body"]["payableAmount"] == 70


@pytest.mark.parametrize(
    ("does", "error", "is_stored"),
    [
        ("ERROR", "answered 500", False),
        ("DROP", "", False),
        ("HANG", "TimeoutError", False),
        ("REFUSE", "answered 400", False),
        ("OVERLOADED", "answered 429", False),
        ("ACCEPT_THEN_ERROR", "answered 500", True),
        ("ACCEPT_THEN_DROP", "", True),
        ("ACCEPT_THEN_HANG", "TimeoutError", True),
    ],
)
async def test_failed_delivery_is_sent_again_under_its_key(
    client: Sender, url: str, does: str, error: str, is_stored: bool
) -> None:
    await behave(url, does, times=1, seconds=2)
    answer = await delivery_failed(client, order())
    assert error in answer.error
    assert bool(await statement(url)) is is_stored

    assert isinstance(await client(order()), DeliveryAccepted)
    [line] = await statement(url)
    assert line["deliveries"] == (2 if is_stored else 1)


async def test_slow_acceptance_is_an_acceptance(client: Sender, url: str) -> None:
    await behave(url, "SLOW", seconds=0.1)
    assert isinstance(await client(order()), DeliveryAccepted)


async def test_unreachable_platform_fails_the_delivery() -> None:
    client = Sender(f"http://127.0.0.1:{free_port()}", lambda: NOW)
    assert "ClientConnectorError" in (await delivery_failed(client, order())).error
    await client.close()


async def test_failing_platform_is_not_called_while_the_breaker_is_open(
    client: Sender, url: str
) -> None:
    await behave(url, "ERROR")
    for number in range(sender.FAILURES_TO_OPEN):
        await delivery_failed(client, order(number))
    assert client.breaker_is_open
    assert "answered 500" in (client.problems()["data_platform"] or "")
    await forget(url)
    assert "circuit breaker" in (await delivery_failed(client, order())).error
    assert await statement(url) == []

    await breaker_closing(client)

    assert isinstance(await client(order()), DeliveryAccepted)
    assert not client.breaker_is_open


async def test_one_delivery_probes_a_recovering_platform(
    client: Sender, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it is accepted the others follow, up to MAX_IN_FLIGHT."""
    waiting = [order(number) for number in range(99)]

    async def find(_: Any, __: datetime, most: int) -> list[str]:
        return [each.order_id for each in waiting[:most]]

    async def due() -> int:
        """How many are due; all of them are leased."""
        unused: Any = None
        found = {each.order_id for each in await client.find_due(unused, NOW, unused)}
        batch = DeliveryUnitOfWork(NOW, Rows())
        for each in waiting:
            if each.order_id in found:
                batch.external_calls.add(each)
        batch.release()
        client.committed(batch)
        return len(found)

    monkeypatch.setattr(store, "find_due", find)
    monkeypatch.setattr(sender, "MAX_IN_FLIGHT", 20)
    await behave(url, "ERROR")
    assert await due() == 20
    assert await due() == 0  # there is no room for more
    for each in waiting[:20]:
        await delivery_failed(client, each)
    assert await due() == 0  # the breaker is open

    await breaker_closing(client)
    assert await due() == 1
    assert await due() == 0
    await delivery_failed(client, waiting[0])
    assert await due() == 0

    await forget(url)
    await breaker_closing(client)
    assert await due() == 1
    await client(waiting[0])
    assert await due() == 20
    assert [line["deliveries"] for line in await statement(url)] == [1]


async def test_delivery_without_a_call_counts_until_its_lease_ends(
    client: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its call may have been running already when it was leased again."""

    async def find(_: Any, __: datetime, most: int) -> list[str]:
        return [order(number).order_id for number in range(most)]

    async def room(now: datetime) -> int:
        unused: Any = None
        return len(await client.find_due(unused, now, unused))

    monkeypatch.setattr(store, "find_due", find)
    batch = DeliveryUnitOfWork(NOW, Rows())
    batch.external_calls.add(order(0))
    batch.release()
    client.committed(batch)
    lease = timedelta(seconds=LEASE_SECONDS)
    assert await room(NOW + lease / 2) == sender.MAX_IN_FLIGHT - 1
    assert await room(NOW + lease) == sender.MAX_IN_FLIGHT


@pytest.mark.parametrize("does", ["REFUSE", "OVERLOADED"])
async def test_answers_to_one_order_do_not_open_the_breaker(
    client: Sender, url: str, does: str
) -> None:
    await behave(url, does, key=order(1).order_id)
    for _ in range(2 * sender.FAILURES_TO_OPEN):
        await delivery_failed(client, order(1))
    assert isinstance(await client(order(2)), DeliveryAccepted)
    assert client.problems() == {"data_platform": None}


# ---------------------------------------------------------------- answers of other platforms


async def send_to(answer: web.Response) -> tuple[DeliveryFailed, web.Request]:
    """The client's command after this answer, and the request that it sent."""
    seen: list[web.Request] = []

    async def handle(request: web.Request) -> web.Response:
        await request.read()
        seen.append(request)
        return answer

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner, port = web.AppRunner(app), free_port()
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    client = Sender(f"http://127.0.0.1:{port}/some/where/?key=1", lambda: NOW)
    try:
        return await delivery_failed(client, order()), seen[0]
    finally:
        await client.close()
        await runner.cleanup()


async def test_request_has_key_and_trace() -> None:
    _, request = await send_to(web.Response(status=500))
    assert (request.method, request.path_qs) == ("POST", "/some/where/?key=1")
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Idempotency-Key"] == order().order_id
    trace_id = order().order_id.replace("-", "")
    assert request.headers["traceparent"].startswith(f"00-{trace_id}-")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        ("Tue, 01 Jan 2030 00:00:09 GMT", 9),
        ("Tue, 01 Jan 2019 00:00:09 GMT", 0),
        ("soon", 0),
        ("-3", 0),
        ("9" * 5_000, 0),
        ("", 0),
    ],
)
async def test_retry_after_is_read_in_seconds_or_as_a_date(header: str, seconds: int) -> None:
    answer, _ = await send_to(web.Response(status=503, headers={"Retry-After": header}))
    assert answer.wait_seconds == seconds


@pytest.mark.parametrize("status", [301, 304, 400, 401, 404, 409, 422, 500])
async def test_only_2xx_is_an_acceptance(status: int) -> None:
    answer, _ = await send_to(web.Response(status=status, headers={"Location": "/elsewhere"}))
    assert f"answered {status}" in answer.error


@pytest.mark.parametrize("body", [b"x" * 10**6, b"\xff\x00\xfe", "\0열려라".encode()])
async def test_stored_answer_is_short_and_without_nul(body: bytes) -> None:
    answer, _ = await send_to(web.Response(status=400, body=body))
    assert len(answer.error) < 600
    assert "\0" not in answer.error


async def test_nothing_is_due_without_an_address() -> None:
    client = Sender(None, lambda: NOW)
    unused: Any = None
    assert await client.find_due(unused, NOW, unused) == []
