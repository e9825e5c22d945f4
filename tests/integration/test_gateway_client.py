"""The client of the payment gateway: decisions, and unknown outcomes that are retried."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from infra.simulators import gateway as simulator
from payment import gateway
from payment.commands import SettlePayment, SettleTopUp
from payment.domain import GatewayOutcome
from payment.external_calls import Action, GatewayCall, Purpose
from saga.errors import Outage
from tests.kit.client import free_port, wait_until

NOW = datetime(2030, 1, 1, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=2)
ORDER = "11111111-1111-4111-8111-111111111111"


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time-outs and pauses are short."""
    monkeypatch.setattr(gateway, "GIVE_UP_SECONDS", 0.5)
    monkeypatch.setattr(gateway, "CALL_TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr(gateway, "FIRST_PAUSE_SECONDS", 0.01)


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    """A simulated gateway's address."""
    runner = web.AppRunner(simulator.build(tmp_path / "gateway.db"))
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()


@pytest.fixture
async def client(url: str) -> AsyncIterator[gateway.HttpGateway]:
    client = gateway.HttpGateway(url, lambda: NOW)
    yield client
    await client.close()


def call(action: Action = Action.CHARGE, key: str = "k", **more: Any) -> GatewayCall:
    fields: dict[str, Any] = {
        "action": action,
        "purpose": Purpose.ORDER,
        "subject": ORDER,
        "key": key,
        "customer_id": "c",
        "amount": 70,
        "attempt": 1 if action is Action.REFUND else 0,
        "began_at": NOW,
    }
    return GatewayCall(**fields | more)


async def outcome(client: gateway.HttpGateway, wanted: GatewayCall) -> GatewayOutcome:
    return (await client(wanted)).outcome


async def behave(url: str, operation: str, does: str, **more: Any) -> None:
    rule = {"operation": operation, "does": does} | more
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/control/behaviours", json=rule) as answer,
    ):
        assert answer.status == 200


async def posted(url: str) -> list[tuple[str, str, int]]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{url}/v1/statement") as answer,
    ):
        items = (await answer.json())["items"]
    return [(each["key"], each["kind"], each["amount"]) for each in items]


async def test_outcome_returns_as_a_command(client: gateway.HttpGateway) -> None:
    captured = SettlePayment(order_id=ORDER, outcome=GatewayOutcome.CAPTURED, attempt=0)
    assert await client(call()) == captured
    top_up = call(key="t", purpose=Purpose.TOP_UP, subject="t")
    assert await client(top_up) == SettleTopUp(top_up_id="t", outcome=GatewayOutcome.CAPTURED)


async def test_repeated_charge_is_captured_once(client: gateway.HttpGateway, url: str) -> None:
    for _ in range(3):
        assert await outcome(client, call()) is GatewayOutcome.CAPTURED
    assert await posted(url) == [("k", "CAPTURE", 70)]


async def test_declined_charge(client: gateway.HttpGateway, url: str) -> None:
    await behave(url, "charge", "DECLINE")
    assert await outcome(client, call()) is GatewayOutcome.DECLINED


@pytest.mark.parametrize("does", ["ERROR", "HANG", "CAPTURE_THEN_ERROR", "CAPTURE_THEN_HANG"])
async def test_unknown_outcome_is_retried(client: gateway.HttpGateway, url: str, does: str) -> None:
    await behave(url, "charge", does, times=1, seconds=0.3)
    assert await outcome(client, call()) is GatewayOutcome.CAPTURED
    assert await posted(url) == [("k", "CAPTURE", 70)]


@pytest.mark.parametrize("does", ["ERROR", "LAND_LATE"])
async def test_outcome_that_stays_unknown_is_an_outage(
    client: gateway.HttpGateway, url: str, does: str
) -> None:
    await behave(url, "charge", does, seconds=60)
    with pytest.raises(Outage):
        await client(call())


async def test_unreachable_gateway_is_an_outage() -> None:
    client = gateway.HttpGateway(f"http://127.0.0.1:{free_port()}", lambda: NOW)
    with pytest.raises(Outage):
        await client(call())
    await client.close()


async def test_void_fences_the_key(client: gateway.HttpGateway, url: str) -> None:
    assert await outcome(client, call(Action.VOID)) is GatewayOutcome.VOIDED
    assert await outcome(client, call()) is GatewayOutcome.VOIDED
    assert await posted(url) == []


async def test_void_after_capture_returns_captured(client: gateway.HttpGateway) -> None:
    await client(call())
    assert await outcome(client, call(Action.VOID)) is GatewayOutcome.CAPTURED


async def test_expired_key_is_voided_not_charged_again(
    client: gateway.HttpGateway, url: str
) -> None:
    """ "Not found" is no decision: only a void ends the charge."""
    old = call(began_at=LONG_AGO)
    assert await outcome(client, old) is GatewayOutcome.VOIDED
    assert await outcome(client, call()) is GatewayOutcome.VOIDED
    assert await posted(url) == []


async def test_old_charge_is_inquired(client: gateway.HttpGateway, url: str) -> None:
    await client(call())
    assert await outcome(client, call(began_at=LONG_AGO)) is GatewayOutcome.CAPTURED
    assert await posted(url) == [("k", "CAPTURE", 70)]


async def test_second_answer_is_not_taken_for_the_next_call(
    client: gateway.HttpGateway, url: str
) -> None:
    """The second answer of a gateway that answers twice stays on the connection."""
    await behave(url, "charge", "ANSWER_TWICE", times=1)
    await client(call(key="first"))
    await behave(url, "charge", "DECLINE", times=1)
    assert await outcome(client, call(key="second")) is GatewayOutcome.DECLINED
    assert await posted(url) == [("first", "CAPTURE", 70)]


async def test_answer_about_another_key_is_no_decision() -> None:
    async def mistaken(_: web.Request) -> web.Response:
        return web.json_response({"key": "another", "status": "CAPTURED", "amount": 70})

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", mistaken)
    runner, port = web.AppRunner(application), free_port()
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    client = gateway.HttpGateway(f"http://127.0.0.1:{port}", lambda: NOW)
    with pytest.raises(Outage):
        await client(call())
    await client.close()
    await runner.cleanup()


@pytest.mark.parametrize("does", ["APPROVE", "ERROR", "REFUND_THEN_ERROR", "REFUND_THEN_HANG"])
async def test_repeated_refund_is_paid_once(
    client: gateway.HttpGateway, url: str, does: str
) -> None:
    await client(call())
    await behave(url, "refund", does, times=1, seconds=0.3)
    assert await outcome(client, call(Action.REFUND)) is GatewayOutcome.REFUNDED
    assert await outcome(client, call(Action.REFUND)) is GatewayOutcome.REFUNDED
    assert await posted(url) == [("k", "CAPTURE", 70), ("k", "REFUND", 70)]


async def test_refused_refund_can_succeed_at_next_attempt(
    client: gateway.HttpGateway, url: str
) -> None:
    await client(call())
    await behave(url, "refund", "REFUSE", times=1)
    assert await outcome(client, call(Action.REFUND)) is GatewayOutcome.REFUND_REFUSED
    assert await outcome(client, call(Action.REFUND)) is GatewayOutcome.REFUND_REFUSED
    assert await outcome(client, call(Action.REFUND, attempt=2)) is GatewayOutcome.REFUNDED


async def test_open_breaker_makes_no_call(client: gateway.HttpGateway, url: str) -> None:
    """After so many failures no call is made for a while; then calls succeed again."""
    await behave(url, "charge", "ERROR")
    while not client.breaker_is_open:
        with pytest.raises(Outage):
            await client(call(key="before"))
    async with aiohttp.ClientSession() as session:
        await session.delete(f"{url}/control/behaviours")  # it works again, unnoticed

    with pytest.raises(Outage):
        await client(call(key="meanwhile"))

    assert client.breaker_is_open
    assert await posted(url) == []
    await wait_until(lambda: is_closed(client), "the breaker is closed")
    assert await outcome(client, call(key="after")) is GatewayOutcome.CAPTURED
    assert await posted(url) == [("after", "CAPTURE", 70)]


async def is_closed(client: gateway.HttpGateway) -> bool:
    return not client.breaker_is_open
