"""docs/extending.md: what it says is done, word by word, in a copy of the project that runs."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from infra.stack.config import SERVICES as KNOWN
from tests.kit.client import (
    ROOT,
    Shop,
    free_port,
    open_shop,
    order,
    run_stack,
    running_stack,
    wait_until,
)
from tests.kit.stack import copy_project

DOCUMENT = (ROOT / "docs" / "extending.md").read_text()
EXAMPLE = ROOT / "tests" / "extending" / "loyalty"


def blocks(language: str) -> list[str]:
    """The document's examples in this language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT, re.DOTALL | re.MULTILINE)


def run(copy: Path, *command: str | Path, environment: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        command, cwd=copy, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
    return done.stdout


def extend(copy: Path) -> None:
    """Steps 1 to 3: write it, name it, draw it."""
    [copying, *commands] = blocks("sh")
    run(copy, "sh", "-c", copying)
    [change] = blocks("diff")
    (copy / "change.diff").write_text(change)
    run(copy, "git", "apply", "change.diff")
    assert commands[0] == "make choreography\n"
    run(copy, sys.executable, "-m", "saga.choreography")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return copy_project(tmp_path / "copy")


@pytest.fixture
def joined(copy: Path, tmp_path: Path) -> Iterator[tuple[Mapping[str, str], dict[str, str]]]:
    """A stack that loyalty has joined, and two orders from before: one completed, one cancelled."""
    port = str(free_port())
    with running_stack(tmp_path / "stack", root=copy, LOYALTY_PORT=port) as environment:
        before = asyncio.run(two_orders(environment))
        run_stack(environment, "down", root=copy)
        extend(copy)
        run_stack(environment, "up", root=copy)
        yield {**environment, "LOYALTY_URL": f"http://127.0.0.1:{port}"}, before


async def two_orders(environment: Mapping[str, str]) -> dict[str, str]:
    async with open_shop(environment) as shop:
        customer, product = await shop.create_wallet(100_000), await shop.create_product(1_000, 100)
        kept = await shop.buy(order(customer, (product, 3)))
        await cancelled(shop, (await shop.buy(order(customer, (product, 2))))["orderId"])
        return {"customer": customer, "product": product, "kept": kept["orderId"]}


async def cancelled(shop: Shop, order_id: str) -> None:
    answer = await shop.call("order", "POST", f"/api/v1/orders/{order_id}/cancel")
    assert answer.body["status"] == "CANCELLED"


async def until_points(shop: Shop, customer: str, points: int) -> None:
    async def so_many() -> bool:
        found = await shop.get("loyalty", f"/api/v1/points/{customer}")
        return bool(found["points"] == points)

    await wait_until(so_many, f"the customer has {points} points", timeout_seconds=60)


async def test_a_service_joins_without_a_change_in_any_other(
    joined: tuple[Mapping[str, str], dict[str, str]], copy: Path
) -> None:
    environment, before = joined
    customer, product = before["customer"], before["product"]
    for service in KNOWN:
        for file in (ROOT / service).glob("*.py"):
            assert file.read_bytes() == (copy / service / file.name).read_bytes()

    async with open_shop(environment) as shop:
        await shop.wait_until_ready(*KNOWN, "loyalty")
        await until_points(shop, customer, 30)  # what was bought before it was there

        kept = await shop.buy(order(customer, (product, 5)))
        await until_points(shop, customer, 80)
        gone = await shop.buy(order(customer, (product, 1)))
        await until_points(shop, customer, 90)
        await cancelled(shop, gone["orderId"])
        await until_points(shop, customer, 80)
        pauper = await shop.create_wallet(1)
        assert (await shop.buy(order(pauper, (product, 1))))["status"] == "FAILED"

        # It is away while orders complete, and hears all of them twice.
        await asyncio.to_thread(run_stack, environment, "stop", "loyalty", root=copy)
        many = (shop.buy(order(customer, (product, 1))) for _ in range(20))
        assert {each["status"] for each in await asyncio.gather(*many)} == {"COMPLETED"}
        await cancelled(shop, kept["orderId"])
        async with shop.nats() as client:
            await client.jetstream().delete_consumer("SAGA", "loyalty")
        await asyncio.to_thread(run_stack, environment, "start", "loyalty", root=copy)
        await until_points(shop, customer, 230)
        await asyncio.to_thread(run_stack, environment, "kill", "loyalty", root=copy)
        await shop.buy(order(customer, (product, 1)))
        await shop.wait_until_ready("loyalty")
        await until_points(shop, customer, 240)
        assert (await shop.get("loyalty", f"/api/v1/points/{pauper}"))["points"] == 0
        assert await shop.dead_letters("loyalty") == []
        await shop.wait_until_idle()
    audit = (sys.executable, "-m", "ops", "audit", "--quiet-seconds", "0")
    await asyncio.to_thread(run, copy, *audit, environment=environment)


def test_the_drawing_shows_it_and_the_checks_know_it(copy: Path) -> None:
    extend(copy)
    drawing = (copy / "docs" / "CHOREOGRAPHY.md").read_text()
    assert "order -- OrderCompleted --> loyalty\n" in drawing
    assert "order -- OrderCancelled --> loyalty\n" in drawing
    assert "## What loyalty does" in drawing
    users = (copy / "infra" / "nats-users.conf").read_text()
    own = users[users.index("user: loyalty") : users.index("user: admin")]
    assert '"$JS.API.CONSUMER.MSG.NEXT.SAGA.loyalty"' in own
    assert '"saga.*.' not in own[: own.index("subscribe:")]
    assert "loyalty is sound" in run(copy, sys.executable, "-m", "saga.choreography", "--check")
    run(copy, Path(sys.executable).with_name("lint-imports"), "--no-cache")
    run(copy, sys.executable, "-m", "mypy", "-p", "loyalty")
    run(copy, sys.executable, "-m", "ruff", "check", ".")

    (copy / "loyalty" / "domain.py").open("a").write("\nimport sqlalchemy\n")
    with pytest.raises(
        AssertionError, match=r"loyalty\.domain is not allowed to import sqlalchemy"
    ):
        run(copy, Path(sys.executable).with_name("lint-imports"), "--no-cache")


def test_the_code_that_the_document_shows_is_the_examples() -> None:
    files = "".join(file.read_text() for file in EXAMPLE.glob("*.py"))
    [shown] = blocks("python")
    assert shown in files
