"""`make load` on the first data, with exact results; and how the load generator counts."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.progress import Progress

from infra.stack import pids
from ops.load.run import Run
from tests.e2e.audit_fixtures import found_wrong
from tests.kit.client import COFFEE, RICH, ROOT, SERVICES, Shop, order, wait_until


def run_load(environment: Mapping[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ops", "load", *words],
        cwd=ROOT,
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


async def test_second_load_succeeds_like_the_first(shop: Shop) -> None:
    for _ in range(2):
        words = ("--orders", "40", "--json")
        ended = await asyncio.to_thread(run_load, shop.environment, *words)
        assert ended.returncode == 0, ended.stderr
        result = json.loads(ended.stdout)
        assert (result["ends"], result["notEnded"]) == ({"COMPLETED": 40}, [])
        left = (result["walletBalance"], result["stockAvailable"], result["stockReserved"])
        assert left == (0, 0, 0)
    found = await shop.get("product", "/api/v1/products?query=Load%20test&status=ACTIVE")
    assert found["items"] == []


async def test_orders_whose_events_are_missed_are_asked_for(shop: Shop) -> None:
    """The user sys is in another account, so no event arrives."""
    urls = {f"{each.upper()}_URL": shop.environment[f"{each.upper()}_URL"] for each in SERVICES}
    named = urls | {"NATS_URL": shop.environment["NATS_URL_SYS"], "STATE_DIR": "/nowhere"}
    words = ("--orders", "10", "--json")
    ended = await asyncio.to_thread(run_load, {**os.environ, **named}, *words)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["ends"] == {"COMPLETED": 10}


async def test_load_of_a_hundred_orders_has_exact_results(new_shop: Shop) -> None:
    words = ("--scenario", "66-34", "--orders", "100", "--concurrency", "100", "--json")
    ended = await asyncio.to_thread(run_load, new_shop.environment, *words)
    assert ended.returncode == 0, ended.stderr
    result: dict[str, Any] = json.loads(ended.stdout)
    assert result["accepted"] == 100
    assert result["ends"] == {"COMPLETED": 66, "FAILED INSUFFICIENT_BALANCE": 34}
    assert result["refused"] == {}
    assert result["notEnded"] == []
    assert (result["walletBalance"], result["stockAvailable"]) == (10_000, 802)
    for latency in (result["postMilliseconds"], result["orderMilliseconds"]):
        assert 0 < latency["p50"] <= latency["p95"] <= latency["p99"]
    assert 0 < result["endedPerSecond"] <= result["acceptedPerSecond"]

    assert await found_wrong(new_shop) == []
    assert await new_shop.balance(RICH) == 10_000
    assert await new_shop.stock(COFFEE) == (802, 0)

    await assert_orders_that_do_not_end_are_named(new_shop)
    await assert_refusals_are_counted(new_shop)


async def assert_orders_that_do_not_end_are_named(new_shop: Shop) -> None:
    charge = f"/api/v1/wallets/{RICH}/charge"
    await new_shop.send("payment", "POST", charge, {"amount": 1_000_000})
    new_shop.command("stop", "payment")
    words = ("--scenario", "66-34", "--orders", "3", "--timeout-seconds", "1")
    ended = await asyncio.to_thread(run_load, new_shop.environment, *words, "--json")
    assert ended.returncode == 1
    result = json.loads(ended.stdout)
    assert (result["accepted"], result["ends"]) == (3, {})
    assert len(result["notEnded"]) == 3
    assert (result["walletBalance"], result["stockAvailable"], result["stockReserved"]) == (
        None,
        793,
        9,
    )
    shown = await asyncio.to_thread(run_load, new_shop.environment, *words)
    assert shown.returncode == 1
    assert "accepted and have not ended" in shown.stdout
    new_shop.command("start", "payment")
    for order_id in result["notEnded"]:
        assert (await new_shop.wait_until_ended(order_id))["status"] == "COMPLETED"


async def assert_refusals_are_counted(new_shop: Shop) -> None:
    answer = await new_shop.call("product", "DELETE", f"/api/v1/products/{COFFEE}")
    assert answer.status == 204

    async def is_discontinued() -> bool:
        answer = await new_shop.call("order", "POST", "/api/v1/orders", order(RICH, (COFFEE, 1)))
        return answer.status == 400

    await wait_until(is_discontinued, "the order service knows that coffee is discontinued")
    ended = await asyncio.to_thread(
        run_load, new_shop.environment, "--scenario", "66-34", "--orders", "5"
    )
    assert ended.returncode == 1
    assert "0 accepted" in ended.stdout
    assert re.search(r"not accepted: 400 PRODUCT_DISCONTINUED +5", ended.stdout)


async def test_order_service_has_the_highest_priority(shop: Shop) -> None:
    folder = Path(shop.environment["STATE_DIR"])
    running = {service: pids.alive(folder, service) for service in SERVICES}
    priority = {name: os.getpriority(os.PRIO_PROCESS, pid or 0) for name, pid in running.items()}
    first = priority["order"]
    others = {priority[name] for name in ("product", "coupon", "payment")}
    assert others == {first + 5}
    assert priority["dataplatform"] == first + 10  # which lowers its priority itself, too


@pytest.mark.parametrize(
    ("option", "value"),
    [("orders", "0"), ("orders", "many"), ("concurrency", "-1"), ("timeout-seconds", "1.5")],
)
def test_invalid_argument_is_refused(option: str, value: str) -> None:
    ended = run_load({}, f"--{option}", value)
    assert ended.returncode == 2
    assert "is not a whole number from 1 to" in ended.stderr


async def test_end_before_the_answer_is_counted() -> None:
    run = Run(Progress(disable=True), orders=3)
    run.ended("early", "COMPLETED")
    run.ended("another client's", "COMPLETED")
    run.accept("early", run.first_sent_at)
    run.accept("late", run.first_sent_at)
    run.refuse("503 RETRY_LATER")
    assert run.not_ended == ["late"]
    waiting = asyncio.create_task(run.all_ended(timeout_seconds=20))
    run.ended("late", "FAILED INSUFFICIENT_BALANCE")
    async with asyncio.timeout(10):
        await waiting
    assert run.not_ended == []
