"""docs/extending.md, followed step by step in a copy of the project that runs."""

import asyncio
import re
import shutil
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


def blocks(language: str) -> list[str]:
    """The document's examples in this language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT, re.DOTALL | re.MULTILINE)


def run(copy: Path, *command: str | Path, environment: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        command, cwd=copy, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
    return done.stdout


def python(copy: Path, *arguments: str) -> str:
    """Run a module of the copy, as the document's make targets do."""
    return run(copy, sys.executable, "-m", *arguments)


def extend(copy: Path) -> None:
    """Steps 1 to 3: generate the service, apply the changes, write what follows from the code."""
    generate, write, *_ = blocks("sh")
    assert generate == "make service NAME=loyalty\n"
    python(copy, "infra.stack.new_service", "loyalty")
    (copy / "changes.diff").write_text("".join(blocks("diff")))
    run(copy, "git", "apply", "changes.diff")
    assert write == "make choreography documents\nmake check\n"
    for module in ("saga.choreography", "infra.documents"):
        python(copy, module)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The project, with what mypy remembers of it: else it reads every library again."""
    copied = copy_project(tmp_path / "copy")
    if (ROOT / ".mypy_cache").exists():
        shutil.copytree(ROOT / ".mypy_cache", copied / ".mypy_cache")
    return copied


@pytest.fixture
def joined(copy: Path, tmp_path: Path) -> Iterator[tuple[Mapping[str, str], dict[str, str]]]:
    """A stack that loyalty has joined, and two earlier orders: one completed, one cancelled."""
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
        found = await shop.get("loyalty", f"/api/v1/loyalty/{customer}")
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
        await until_points(shop, customer, 30)  # of the orders before it joined

        kept = await shop.buy(order(customer, (product, 5)))
        await until_points(shop, customer, 80)
        gone = await shop.buy(order(customer, (product, 1)))
        await until_points(shop, customer, 90)
        await cancelled(shop, gone["orderId"])
        await until_points(shop, customer, 80)
        pauper = await shop.create_wallet(1)
        assert (await shop.buy(order(pauper, (product, 1))))["status"] == "FAILED"

        # It is away while orders complete; then its durable is new, so it gets every event twice.
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
        assert (await shop.get("loyalty", f"/api/v1/loyalty/{pauper}"))["points"] == 0
        assert await shop.dead_letters("loyalty") == []
        await shop.wait_until_idle()
    audit = (sys.executable, "-m", "ops", "audit", "--quiet-seconds", "0")
    await asyncio.to_thread(run, copy, *audit, environment=environment)


def check(copy: Path) -> None:
    """What `make check` runs."""
    python(copy, "ruff", "check", ".")
    python(copy, "ruff", "format", "--check", ".")
    python(copy, "mypy")
    run(copy, Path(sys.executable).with_name("lint-imports"), "--no-cache")
    python(copy, "saga.choreography", "--check")
    python(copy, "infra.documents", "--check")


def test_generated_service_passes_make_check_and_its_test(copy: Path) -> None:
    python(copy, "infra.stack.new_service", "loyalty", "--port", "8199")

    check(copy)
    python(copy, "pytest", "-q", "tests/unit/test_loyalty.py", "tests/unit/test_imports.py")
    assert '"loyalty": 8199,' in (copy / "events" / "participants.py").read_text()


def test_extended_service_passes_make_check_and_is_drawn(copy: Path) -> None:
    extend(copy)

    check(copy)
    python(copy, "pytest", "-q", "tests/unit/test_loyalty.py")
    drawing = (copy / "docs" / "CHOREOGRAPHY.md").read_text()
    assert "order -- OrderCompleted --> loyalty\n" in drawing
    assert "order -- OrderCancelled --> loyalty\n" in drawing
    users = (copy / "infra" / "nats-users.conf").read_text()
    own = users[users.index("user: loyalty") : users.index("user: admin")]
    assert '"$JS.API.CONSUMER.MSG.NEXT.SAGA.loyalty"' in own
    assert '"saga.*.' not in own[: own.index("subscribe:")]

    (copy / "loyalty" / "domain.py").open("a").write("\nimport sqlalchemy\n")
    with pytest.raises(
        AssertionError, match=r"loyalty\.domain is not allowed to import sqlalchemy"
    ):
        run(copy, Path(sys.executable).with_name("lint-imports"), "--no-cache")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["Loyalty"], "'Loyalty' can't be a service's name: use 2 to 30 small letters"),
        (["my-service"], "'my-service' can't be a service's name"),
        (["class"], "'class' is a word of Python's"),
        (["json"], "'json' is a word of Python's"),
        (["order"], "The name 'order' is taken"),
        (["nats"], "The name 'nats' is taken"),
        (["observer"], "The name 'observer' is taken"),
        (["msgspec"], "The name 'msgspec' is taken"),
        (["docs"], "The name 'docs' is taken"),
        (["points", "--port", "8183"], "Port 8183 is taken by payment. Choose another: PORT=8187"),
        (["points", "--port", "4222"], "Port 4222 is taken by nats"),
        (["points", "--port", "80"], "80 can't be a service's port: use 1024 to 65535"),
    ],
)
def test_a_name_or_port_that_can_not_be_used_is_refused(arguments: list[str], message: str) -> None:
    command = [sys.executable, "-m", "infra.stack.new_service", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr.startswith(message)
    assert not (ROOT / "points").exists()
