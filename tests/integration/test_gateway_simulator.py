"""The simulated gateway keeps its accounts as a real one must, whatever fault it injects."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from infra.simulators import gateway
from infra.simulators.gateway_store import GatewayStore, Status
from tests.kit.client import free_port, wait_until

CHARGE = {"amount": 70, "customerId": "c", "reference": "r"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "gateway.db"


@pytest.fixture
def store(file: Path) -> Iterator[GatewayStore]:
    store = GatewayStore(file)
    yield store
    store.close()


@pytest.fixture
async def http(file: Path) -> AsyncIterator[aiohttp.ClientSession]:
    runner = web.AppRunner(gateway.build(file))
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        yield session
    await runner.cleanup()


async def charge(http: aiohttp.ClientSession, key: str, **body: Any) -> tuple[int, Any]:
    headers = {"Idempotency-Key": key}
    async with http.post("/v1/charges", json=CHARGE | body, headers=headers) as answer:
        return answer.status, await answer.json()


def test_capture_and_its_statement_line_are_written_together(
    store: GatewayStore, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise RuntimeError("killed")

    monkeypatch.setattr(GatewayStore, "_post", die)
    with pytest.raises(RuntimeError):
        store.charge("k", "r", "c", 70, Status.CAPTURED)
    again = GatewayStore(file)
    assert again.find("k") is None
    assert again.statement(0, 10) == []
    again.close()


def test_charge_in_flight_lands_after_a_restart(store: GatewayStore, file: Path) -> None:
    store.charge("k", "r", "c", 70, Status.IN_FLIGHT, lands_after_seconds=0)
    again = GatewayStore(file)
    again.land()
    landed = again.find("k")
    assert landed is not None
    assert landed.status is Status.CAPTURED
    assert [(each.kind, each.amount) for each in again.statement(0, 10)] == [("CAPTURE", 70)]
    again.close()


@pytest.mark.parametrize(("fence_holds", "lands"), [(True, False), (False, True)])
def test_void_fences_a_charge_in_flight_unless_the_fence_is_broken(
    store: GatewayStore, fence_holds: bool, lands: bool
) -> None:
    store.charge("k", "r", "c", 70, Status.IN_FLIGHT, fence_holds=fence_holds)
    assert store.void("k").status is Status.VOIDED
    store.land()
    assert bool(store.statement(0, 10)) is lands


async def test_late_charge_is_unknown_until_it_lands(http: aiohttp.ClientSession) -> None:
    rule = {"operation": "charge", "does": "LAND_LATE", "seconds": 0.2}
    async with http.post("/control/behaviours", json=rule) as answer:
        assert answer.status == 200
    assert (await charge(http, "k"))[0] == 504
    async with http.get("/v1/charges/k") as answer:
        assert answer.status == 404

    async def landed() -> bool:
        async with http.get("/v1/charges/k") as answer:
            return answer.status == 200

    await wait_until(landed, "the charge has landed")
    assert await charge(http, "k") == (
        200,
        {
            "key": "k",
            "status": "CAPTURED",
            "amount": 70,
            "refundedAmount": 0,
            "transactionId": "pg-da6d6fe2-138f-5f35-99a3-01d9b2aa6e5c",
            "message": None,
        },
    )


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"amount": 0}, 400, "VALIDATION_ERROR"),
        ({"amount": "7"}, 400, "VALIDATION_ERROR"),
        ({"colour": "red"}, 400, "VALIDATION_ERROR"),
    ],
)
async def test_bad_input_is_refused(
    http: aiohttp.ClientSession, body: dict[str, Any], status: int, code: str
) -> None:
    answered, error = await charge(http, "k", **body)
    assert (answered, error["error"]) == (status, code)


async def test_key_is_for_one_amount(http: aiohttp.ClientSession) -> None:
    assert (await charge(http, "k"))[0] == 200
    status, error = await charge(http, "k", amount=71)
    assert (status, error["error"]) == (422, "KEY_REUSED")


@pytest.mark.parametrize(
    "rule",
    [
        {"operation": "void", "does": "DECLINE"},
        {"operation": "charge", "does": "SING"},
        {"operation": "charge", "does": "ERROR", "often": 3},
    ],
)
async def test_rule_that_makes_no_sense_is_refused(
    http: aiohttp.ClientSession, rule: dict[str, Any]
) -> None:
    async with http.post("/control/behaviours", json=rule) as answer:
        assert answer.status == 400
    async with http.get("/control/behaviours") as answer:
        assert (await answer.json())["rules"] == []


@pytest.mark.parametrize(
    ("does", "status", "content_type"),
    [
        ("BAD_REQUEST", 400, "application/json"),
        ("UNPROCESSABLE", 422, "application/json"),
        ("IN_USE", 409, "application/json"),
        ("OVERLOADED", 429, "application/json"),
        ("MAINTENANCE", 503, "application/json"),
        ("UNAUTHORIZED", 401, "application/json"),
        ("REDIRECT", 307, "application/octet-stream"),
        ("HTML", 200, "text/html"),
        ("EMPTY", 200, "application/octet-stream"),
        ("MALFORMED", 200, "application/json"),
        ("OTHER_KEY", 200, "application/json"),
    ],
)
async def test_odd_answer_is_given_once_and_nothing_has_happened(
    http: aiohttp.ClientSession, does: str, status: int, content_type: str
) -> None:
    rule = {"operation": "charge", "does": does, "customerId": "c", "times": 1, "seconds": 3}
    async with http.post("/control/behaviours", json=rule) as answer:
        assert answer.status == 200
    key = {"Idempotency-Key": "k"}
    async with http.post("/v1/charges", json=CHARGE, headers=key, allow_redirects=False) as odd:
        assert (odd.status, odd.content_type) == (status, content_type)
        assert ("Retry-After" in odd.headers) is (status in (429, 503))
    async with http.get("/v1/statement") as answer:
        assert (await answer.json())["items"] == []
    assert (await charge(http, "k"))[1]["status"] == "CAPTURED"
