"""The simulated gateway keeps its books as a real one must, whatever it is told to do wrong."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from infra.simulators import gateway
from infra.simulators.gateway_books import Books, Status
from tests.kit.client import free_port, wait_until

CHARGE = {"amount": 70, "customerId": "c", "reference": "r"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "gateway.db"


@pytest.fixture
def books(file: Path) -> Iterator[Books]:
    books = Books(file)
    yield books
    books.close()


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


def test_a_capture_and_its_line_of_the_statement_are_one(
    books: Books, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise RuntimeError("killed")

    monkeypatch.setattr(Books, "_post", die)
    with pytest.raises(RuntimeError):
        books.charge("k", "r", "c", 70, Status.CAPTURED)
    again = Books(file)
    assert again.find("k") is None
    assert again.statement(0, 10) == []
    again.close()


def test_a_charge_in_flight_lands_after_a_restart(books: Books, file: Path) -> None:
    books.charge("k", "r", "c", 70, Status.IN_FLIGHT, lands_after_seconds=0)
    again = Books(file)
    again.land()
    landed = again.find("k")
    assert landed is not None
    assert landed.status is Status.CAPTURED
    assert [(each.kind, each.amount) for each in again.statement(0, 10)] == [("CAPTURE", 70)]
    again.close()


@pytest.mark.parametrize(("fence_holds", "lands"), [(True, False), (False, True)])
def test_a_void_fences_a_charge_in_flight_unless_the_fence_is_broken(
    books: Books, fence_holds: bool, lands: bool
) -> None:
    books.charge("k", "r", "c", 70, Status.IN_FLIGHT, fence_holds=fence_holds)
    assert books.void("k").status is Status.VOIDED
    books.land()
    assert bool(books.statement(0, 10)) is lands


async def test_a_late_charge_is_unknown_until_it_lands(http: aiohttp.ClientSession) -> None:
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
        {"key": "k", "status": "CAPTURED", "amount": 70, "refundedAmount": 0},
    )


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"amount": 0}, 400, "VALIDATION_ERROR"),
        ({"amount": "7"}, 400, "VALIDATION_ERROR"),
        ({"colour": "red"}, 400, "VALIDATION_ERROR"),
    ],
)
async def test_bad_input_is_told(
    http: aiohttp.ClientSession, body: dict[str, Any], status: int, code: str
) -> None:
    answered, emitted = await charge(http, "k", **body)
    assert (answered, emitted["error"]) == (status, code)


async def test_a_key_is_for_one_amount(http: aiohttp.ClientSession) -> None:
    assert (await charge(http, "k"))[0] == 200
    status, emitted = await charge(http, "k", amount=71)
    assert (status, emitted["error"]) == (422, "KEY_REUSED")


@pytest.mark.parametrize(
    "rule",
    [
        {"operation": "void", "does": "DECLINE"},
        {"operation": "charge", "does": "SING"},
        {"operation": "charge", "does": "ERROR", "often": 3},
    ],
)
async def test_a_rule_that_makes_no_sense_is_refused(
    http: aiohttp.ClientSession, rule: dict[str, Any]
) -> None:
    async with http.post("/control/behaviours", json=rule) as answer:
        assert answer.status == 400
    async with http.get("/control/behaviours") as answer:
        assert (await answer.json())["rules"] == []
