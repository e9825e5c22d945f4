"""The client of the payment gateway: decisions, and unknown outcomes that are retried."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
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
    return (await client(wanted)).decision.outcome


async def behave(url: str, operation: str, does: str, **more: Any) -> None:
    rule = {"operation": operation, "does": does} | more
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/control/behaviours", json=rule) as answer,
    ):
        assert answer.status == 200


async def forget(url: str) -> None:
    async with aiohttp.ClientSession() as session, session.delete(f"{url}/control/behaviours"):
        """It approves everything again."""


async def posted(url: str) -> list[tuple[str, str, int]]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{url}/v1/statement") as answer,
    ):
        items = (await answer.json())["items"]
    return [(each["key"], each["kind"], each["amount"]) for each in items]


async def test_outcome_returns_as_a_command(client: gateway.HttpGateway) -> None:
    paid = await client(call())
    assert isinstance(paid, SettlePayment)
    assert (paid.order_id, paid.attempt) == (ORDER, 0)
    assert paid.decision.outcome is GatewayOutcome.CAPTURED
    assert (paid.decision.transaction_id or "").startswith("pg-")
    topped_up = await client(call(key="t", purpose=Purpose.TOP_UP, subject="t"))
    assert isinstance(topped_up, SettleTopUp)
    assert (topped_up.top_up_id, topped_up.decision.outcome) == ("t", GatewayOutcome.CAPTURED)


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
    await forget(url)

    with pytest.raises(Outage):
        await client(call(key="meanwhile"))

    assert client.breaker_is_open
    assert await posted(url) == []
    await wait_until(lambda: is_closed(client), "the breaker is closed")
    assert await outcome(client, call(key="after")) is GatewayOutcome.CAPTURED
    assert await posted(url) == [("after", "CAPTURE", 70)]


async def is_closed(client: gateway.HttpGateway) -> bool:
    return not client.breaker_is_open


# ---------------------------------------------------------------- odd answers

NO_DECISION = ["IN_USE", "OVERLOADED", "MAINTENANCE", "UNAUTHORIZED", "REDIRECT", "HTML", "EMPTY"]
NO_DECISION += ["MALFORMED", "OTHER_KEY"]
REFUSED = {"BAD_REQUEST": "the card number is no number", "UNPROCESSABLE": "the card has expired"}


@pytest.mark.parametrize("does", NO_DECISION)
@pytest.mark.parametrize("operation", ["charge", "void", "refund", "inquire"])
async def test_answer_without_a_decision_is_retried(
    client: gateway.HttpGateway, url: str, operation: str, does: str
) -> None:
    if operation != "charge":
        await client(call())
    await behave(url, operation, does, times=2, seconds=0)
    wanted = {
        "charge": (call(), GatewayOutcome.CAPTURED),
        "void": (call(Action.VOID), GatewayOutcome.CAPTURED),
        "refund": (call(Action.REFUND), GatewayOutcome.REFUNDED),
        "inquire": (call(began_at=LONG_AGO), GatewayOutcome.CAPTURED),
    }[operation]
    assert await outcome(client, wanted[0]) is wanted[1]
    assert not client.breaker_is_open


@pytest.mark.parametrize("does", REFUSED)
async def test_refused_charge_is_declined_at_once_with_its_reason_and_voided(
    client: gateway.HttpGateway, url: str, does: str
) -> None:
    await behave(url, "charge", does)
    decision = (await client(call())).decision
    assert (decision.outcome, decision.detail) == (GatewayOutcome.DECLINED, REFUSED[does])
    await forget(url)
    assert await outcome(client, call()) is GatewayOutcome.VOIDED
    assert await posted(url) == []


async def test_declined_charge_has_the_gateways_reason(
    client: gateway.HttpGateway, url: str
) -> None:
    await behave(url, "charge", "DECLINE")
    decision = (await client(call())).decision
    assert (decision.outcome, decision.detail) == (
        GatewayOutcome.DECLINED,
        "the bank declines the card",
    )
    assert (decision.transaction_id or "").startswith("pg-")


async def test_refusal_of_a_captured_charge_is_no_decision(
    client: gateway.HttpGateway, url: str
) -> None:
    """An earlier attempt may have been captured: the void shows it."""
    await behave(url, "charge", "CAPTURE_THEN_REFUSE")
    assert await outcome(client, call()) is GatewayOutcome.CAPTURED


async def test_charge_of_another_amount_is_no_decision(client: gateway.HttpGateway) -> None:
    await client(call())
    with pytest.raises(Outage, match="captured 70 KRW, not 71"):
        await client(call(amount=71))


@pytest.mark.parametrize("does", REFUSED)
async def test_refused_void_fences_nothing(
    client: gateway.HttpGateway, url: str, does: str
) -> None:
    await behave(url, "void", does)
    with pytest.raises(Outage, match="the void is refused"):
        await client(call(Action.VOID))
    await forget(url)
    assert await outcome(client, call(Action.VOID)) is GatewayOutcome.VOIDED


@pytest.mark.parametrize("does", REFUSED)
async def test_refused_refund_is_decided_at_once_with_its_reason(
    client: gateway.HttpGateway, url: str, does: str
) -> None:
    await client(call())
    await behave(url, "refund", does)
    decision = (await client(call(Action.REFUND))).decision
    assert (decision.outcome, decision.detail) == (GatewayOutcome.REFUND_REFUSED, REFUSED[does])


async def test_refusal_of_a_paid_refund_is_no_decision(
    client: gateway.HttpGateway, url: str
) -> None:
    await client(call())
    await behave(url, "refund", "REFUND_THEN_REFUSE")
    assert await outcome(client, call(Action.REFUND)) is GatewayOutcome.REFUNDED


async def test_refused_access_decides_nothing_and_is_shown(
    client: gateway.HttpGateway, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    await behave(url, "charge", "UNAUTHORIZED")
    with pytest.raises(Outage, match="send a valid API key"):
        await client(call())
    assert "does not let the shop in" in (client.problems()["payment_gateway"] or "")
    assert "the payment gateway does not let the shop in" in caplog.text
    assert not client.breaker_is_open
    await forget(url)
    assert await outcome(client, call()) is GatewayOutcome.CAPTURED
    assert client.problems() == {"payment_gateway": None}


class Odd:
    """A gateway that answers the charge `odd` with `answer`, and others after `seconds`.

    It `voids` the odd one's key where that is asked for.
    """

    def __init__(self, answer: Callable[[], web.Response]) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self.answer = answer
        self.seconds = 0.1
        self.voids = False
        self.charges: list[tuple[str, float]] = []

    async def handle(self, request: web.Request) -> web.Response:
        key = request.headers["Idempotency-Key"]
        if request.path == "/v1/charges":
            self.charges.append((key, monotonic()))
        if key == "odd":
            is_void = self.voids and request.path.endswith("/void")
            voided = {"key": key, "status": "VOIDED"}
            return web.json_response(voided) if is_void else self.answer()
        await asyncio.sleep(self.seconds)
        return web.json_response({"key": key, "status": "CAPTURED", "amount": 70})

    @asynccontextmanager
    async def running(self) -> AsyncIterator[gateway.HttpGateway]:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self.handle)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", int(self.url.rpartition(":")[2])).start()
        client = gateway.HttpGateway(self.url, lambda: NOW)
        yield client
        await client.close()
        await runner.cleanup()


ODD_ANSWERS: dict[str, Callable[[], web.Response]] = {
    "another key": lambda: web.json_response({"key": "other", "status": "CAPTURED"}),
    "no key": lambda: web.json_response({"status": "CAPTURED"}),
    "no status": lambda: web.json_response({"key": "odd"}),
    "a list": lambda: web.json_response([1]),
    "deep": lambda: web.Response(text='{"a":' + "[" * 50_000),
    "huge": lambda: web.Response(body=b"x" * 10**6),
    "no UTF-8": lambda: web.Response(body=b"\xff\x00\xfe"),
    "wrong encoding": lambda: web.Response(text="x", headers={"Content-Encoding": "gzip"}),
    "pending": lambda: web.json_response({"key": "odd", "status": "PENDING"}, status=202),
    "teapot": lambda: web.Response(status=418),
    "redirect": lambda: web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}),
    "refused": lambda: web.Response(status=400),
    "not found": lambda: web.Response(status=404),
}


@pytest.mark.parametrize("name", ODD_ANSWERS)
async def test_odd_answer_to_one_request_touches_no_other(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(gateway, "CALL_TIMEOUT_SECONDS", 10)  # none is sent twice for being slow
    odd = Odd(ODD_ANSWERS[name])
    async with odd.running() as client:
        others = [str(number) for number in range(20)]
        calls = [asyncio.create_task(outcome(client, call(key=key))) for key in others]
        with pytest.raises(Outage):
            await client(call(key="odd"))
        assert set(await asyncio.gather(*calls)) == {GatewayOutcome.CAPTURED}
    assert sorted(key for key, _ in odd.charges if key != "odd") == sorted(others)


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_heeded_for_its_call(
    monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(gateway, "GIVE_UP_SECONDS", 10)
    monkeypatch.setattr(gateway, "CALL_TIMEOUT_SECONDS", 10)
    captured = {"key": "odd", "status": "CAPTURED", "amount": 70}
    answers = iter(
        [
            web.Response(status=status, headers={"Retry-After": "1"}),
            web.json_response(captured),
        ]
    )
    odd = Odd(lambda: next(answers))
    async with odd.running() as client:
        assert await outcome(client, call(key="odd")) is GatewayOutcome.CAPTURED
    first, second = (at for _, at in odd.charges)
    assert second - first >= 1


async def test_longer_pause_than_a_call_may_last_ends_the_call() -> None:
    odd = Odd(lambda: web.Response(status=429, headers={"Retry-After": "86400"}))
    async with odd.running() as client:
        with pytest.raises(Outage):
            await client(call(key="odd"))
    assert len(odd.charges) == 1


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        ({"body": b"<h1>Bad\n request</h1>"}, "<h1>Bad request</h1>"),
        ({"text": '{"message": "no\\u0000 card"}'}, "no card"),
        ({"text": '{"message": {"code": 7}}'}, "{'code': 7}"),
        ({"text": '{"key": 7}'}, '{"key": 7}'),
        ({"text": "카" * 600}, "카" * 500),
        ({"body": b"\xff\x00"}, "\ufffd"),
        ({}, "answered 400"),
    ],
)
async def test_reason_is_one_line_that_can_be_stored(answer: dict[str, Any], detail: str) -> None:
    odd = Odd(lambda: web.Response(status=400, **answer))
    odd.voids = True
    async with odd.running() as client:
        decision = (await client(call(key="odd"))).decision
    assert (decision.outcome, decision.detail) == (GatewayOutcome.DECLINED, detail)
