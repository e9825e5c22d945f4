"""The operators' commands from a machine without the stack's folder, by variables alone."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.audit_fixtures import database_file
from tests.kit.client import COFFEE, RICH, ROOT, SERVICES, Shop, order

Environment = dict[str, str]


@pytest.fixture
def outside(breakable_shop: Shop, tmp_path: Path) -> Environment:
    """All that the documents list, and nothing of the local stack."""
    inside = breakable_shop.environment
    named = {f"{each.upper()}_URL": inside[f"{each.upper()}_URL"] for each in SERVICES}
    named |= {
        f"{each.upper()}_DATABASE_URL": f"sqlite+aiosqlite:///{database_file(inside, each)}"
        for each in SERVICES
    }
    named |= {"NATS_URL": inside["NATS_URL_OBSERVER"], "STATE_DIR": str(tmp_path / "none")}
    named |= {name: inside[name] for name in STATEMENTS}
    return {"PATH": os.environ["PATH"], **named}


STATEMENTS = ("GATEWAY_URL", "PLATFORM_URL")


def ops(environment: Environment, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ops", *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


async def test_every_command_works_by_variables_alone(
    breakable_shop: Shop, outside: Environment
) -> None:
    found = await breakable_shop.buy(order(RICH, (COFFEE, 1)))
    await breakable_shop.wait_until_idle()

    async def run(*words: str) -> str:
        ended = await asyncio.to_thread(ops, outside, *words)
        assert ended.returncode == 0, (words, ended.stdout, ended.stderr)
        return ended.stdout

    traced = await run("trace", found["orderId"])
    assert "PaymentCompleted" in traced
    assert "There are no dead letters." in await run("dlq")
    assert "coupon has no dead letter to redrive." in await run("redrive", "coupon", "all")
    status = await run("status")
    assert all(outside[f"{each.upper()}_URL"] in status for each in SERVICES)
    assert "Consumers" in status
    assert "5 accepted" in await run("load", "--orders", "5")
    audit = await run("audit", "--quiet-seconds", "0")
    assert audit.splitlines()[-1].startswith("clean (")
    assert "Not compared" not in audit

    breakable_shop.command("stop", "nats")
    try:
        waiting = await breakable_shop.place(order(RICH, (COFFEE, 1)))
        without_broker = await run("trace", found["orderId"])
        unpublished = await run("trace", waiting)
    finally:
        breakable_shop.command("start", "nats")
    head, *same = without_broker.splitlines()
    assert head == "The stream can't be read now: these are the events in the services' outboxes."
    assert same == traced.splitlines()
    [line] = [each for each in unpublished.splitlines() if "OrderCreated" in each]
    assert "not yet" in line
    await breakable_shop.wait_until_ended(waiting, timeout_seconds=40)
    await breakable_shop.wait_until_idle()


async def test_missing_variable_is_named_in_one_line(outside: Environment) -> None:
    for words, missing in (
        (("trace", "3fa85f64-5717-4562-b3fc-2c963f66afa6"), "ORDER_URL"),
        (("dlq",), "COUPON_URL"),
        (("redrive", "coupon", "all"), "COUPON_URL"),
        (("dismiss", "coupon", "all", "--reason", "none"), "COUPON_URL"),
        (("status",), "NATS_URL"),
        (("load",), "PAYMENT_URL"),
        (("audit",), "PRODUCT_DATABASE_URL"),
        (("audit",), "NATS_URL"),
    ):
        lacking = {name: value for name, value in outside.items() if name != missing}
        ended = await asyncio.to_thread(ops, lacking, *words)
        assert ended.returncode in (1, 2), words
        assert ended.stdout == ""
        [line] = ended.stderr.splitlines()
        assert line.startswith(f"Not set: {missing}. ")


async def test_statements_that_nobody_gives_are_named(outside: Environment) -> None:
    named = {name: url for name, url in outside.items() if name not in STATEMENTS}
    audit = await asyncio.to_thread(ops, named, "audit", "--quiet-seconds", "0")
    assert audit.returncode == 0
    for who in ("the payment gateway", "the data platform"):
        assert f"Not compared: {who} gives no statement." in audit.stdout
