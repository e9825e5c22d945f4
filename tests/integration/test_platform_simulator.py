"""The simulated data platform accepts each key once, and counts what it gets."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from infra.simulators.platform_store import PlatformStore
from tests.kit.data_platform import behave, simulated, statement


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "platform.db"


@pytest.fixture
async def url(file: Path) -> AsyncIterator[str]:
    async with simulated(file) as url:
        yield url


async def post(url: str, body: bytes = b'{"a": 1}', **headers: str) -> tuple[int, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/v1/orders", data=body, headers=headers) as answer,
    ):
        return answer.status, await answer.json()


async def send(url: str, key: str, body: bytes = b'{"a": 1}') -> int:
    return (await post(url, body, **{"Idempotency-Key": key}))[0]


async def test_repeated_order_is_counted_and_accepted_once(url: str) -> None:
    assert [await send(url, key) for key in ("k", "k", "l", "k")] == [202] * 4
    lines = await statement(url)
    assert [(line["key"], line["deliveries"]) for line in lines] == [("k", 3), ("l", 1)]
    assert lines[0]["body"] == {"a": 1}


async def test_key_is_for_one_body(url: str) -> None:
    assert await send(url, "k") == 202
    assert await send(url, "k", b'{"a": 2}') == 422
    [line] = await statement(url)
    assert (line["body"], line["deliveries"]) == ({"a": 1}, 1)


async def test_restart_loses_nothing(url: str, file: Path) -> None:
    await send(url, "k")
    again = PlatformStore(file)
    assert again.accept("k", b'{"a": 1}')
    assert [line.deliveries for line in again.statement(0, 10)] == [2]
    again.close()


@pytest.mark.parametrize("body", [b"", b"x", b"[]", b'"a"', b"\xff"])
async def test_bad_input_is_refused(url: str, body: bytes) -> None:
    status, error = await post(url, body, **{"Idempotency-Key": "k"})
    assert (status, error["error"]) == (400, "VALIDATION_ERROR")
    assert await statement(url) == []


async def test_order_without_a_key_is_refused(url: str) -> None:
    status, error = await post(url)
    assert (status, error["error"]) == (400, "VALIDATION_ERROR")


async def test_rule_applies_so_many_times_and_to_one_key(url: str) -> None:
    await behave(url, "ERROR", times=2, key="k")
    assert [await send(url, key) for key in ("l", "k", "k", "k")] == [202, 500, 500, 202]


@pytest.mark.parametrize("rule", [{"does": "SING"}, {"does": "ERROR", "often": 3}, {"times": 1}])
async def test_rule_that_makes_no_sense_is_refused(url: str, rule: dict[str, Any]) -> None:
    async with aiohttp.ClientSession(url) as http:
        async with http.post("/control/behaviours", json=rule) as answer:
            assert answer.status == 400
        async with http.get("/control/behaviours") as answer:
            assert (await answer.json())["rules"] == []
