"""`make demo` on a new stack, and once more on the same one."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from io import StringIO
from pathlib import Path

from nats.aio.client import Client
from rich.console import Console

from bench.demo.stage import Expected, Stage
from infra.stack.broker import observing
from infra.stack.config import recorded
from tests.e2e.audit_fixtures import found_wrong
from tests.kit.client import COFFEE, RICH, ROOT, Shop, open_shop, order, running_stack

CHAINS = [
    ["OrderCreated", "CouponUsed", "StockDecremented", "PaymentCompleted", "OrderCompleted"],
    ["OrderCreated", "CouponUsed", "StockDecremented", "PaymentCompleted", "OrderCompleted"],
    ["OrderCreated", "CouponUsed", "StockUnavailable"],
    ["OrderCreated", "CouponUsed", "StockDecremented", "PaymentFailed"],
    ["OrderCreated", "CouponRejected", "OrderFailed"],
    ["OrderCreated", "CouponUsed", "StockDecremented", "PaymentCompleted", "OrderCompleted"],
    ["OrderCreated", "CouponUsed", "StockWaitlisted", "StockDecremented", "PaymentCompleted"],
    [],
]
"""How each order's events begin. The other events come after these, in any order."""

OTHERS = [
    set(),
    set(),
    {"CouponRestored", "OrderFailed"},
    {"CouponRestored", "OrderFailed", "StockRestored"},
    set(),
    {
        "OrderCancelRequested",
        "PaymentRefunded",
        "StockRestored",
        "CouponRestored",
        "OrderCancelled",
    },
    {"OrderCompleted"},
    set(),
]
EVENT = re.compile(r"^ +\d+ ms  (order|coupon|product|payment) +([A-Z]\w+)(?: +after (\w+))?$")


def run_demo(environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench.demo"],
        cwd=ROOT,
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def events_by_scene(output: str) -> list[list[tuple[str, str, str]]]:
    """The events of each order: service, event, cause."""
    scenes: list[list[tuple[str, str, str]]] = []
    for line in output.splitlines():
        if re.match(r"^\d\. ", line):
            scenes.append([])
        elif found := EVENT.match(line):
            scenes[-1].append((found[1], found[2], found[3] or ""))
    return scenes


async def test_demo_plays_every_kind_of_order_twice(new_shop: Shop) -> None:
    for time in (1, 2):
        ended = run_demo(new_shop.environment)
        assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout
        scenes = events_by_scene(ended.stdout)
        for events, chain, others in zip(scenes, CHAINS, OTHERS, strict=True):
            names = [name for _, name, _ in events]
            assert names[: len(chain)] == chain
            assert set(names[len(chain) :]) == others
            assert events[:1] in ([("order", "OrderCreated", "")], [])
            causeless = [name for _, name, cause in events[1:] if cause not in names]
            assert causeless in ([], ["OrderCancelRequested"], ["StockDecremented"])
        received_live = re.findall(r"^ +event: (\w+)$", ended.stdout, re.MULTILINE)
        assert received_live == CHAINS[0]
        outcomes = [line.strip() for line in ended.stdout.splitlines() if line.startswith("   => ")]
        assert outcomes[0] == (
            f"=> COMPLETED: paid 15,000 KRW; the wallet has {1_000_000 - time * 15_000:,} KRW, "
            f"{1000 - time * 3 - (time - 1)} Coffee are left"
        )
        assert outcomes[1].startswith("=> COMPLETED: 3,600 KRW off, paid 20,400")
        assert [line.split(":")[0] for line in outcomes[2:]] == [
            "=> FAILED (INSUFFICIENT_STOCK)",
            "=> FAILED (INSUFFICIENT_BALANCE)",
            "=> FAILED (COUPON_NOT_OWNED)",
            "=> CANCELLED",
            "=> COMPLETED",
            "=> COMPLETED",
        ]
        assert "nats --context" not in ended.stdout  # this stack has written none
        for hint in ("make trace ORDER=", "make load", "make down", "/schema"):
            assert hint in ended.stdout
    await assert_demo_runs_without_coffee_and_money(new_shop)
    assert await found_wrong(new_shop) == []
    await assert_demo_reports_missing_events_and_answers(new_shop)


async def test_demo_with_sign_in_plays_the_same_scenes_and_one_more(
    tmp_path: Path,
) -> None:
    with running_stack(tmp_path / "stack", AUTH="on") as environment:
        ended = run_demo(environment)
        async with open_shop(environment) as shop:
            assert await found_wrong(shop) == []
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout
    assert "Signed in as the shopkeeper" in ended.stdout
    scenes = events_by_scene(ended.stdout)
    names = [[name for _, name, _ in events][: len(CHAINS[0])] for events in scenes]
    assert [each[:2] for each in names] == [each[:2] for each in [*CHAINS, []]]
    outcomes = [line.strip() for line in ended.stdout.splitlines() if line.startswith("   => ")]
    assert len(outcomes) == len(CHAINS) + 1
    assert outcomes[-1] == "=> COMPLETED: Lee gets 404 ORDER_NOT_FOUND for Kim's order"
    received_live = re.findall(r"^ +event: (\w+)$", ended.stdout, re.MULTILINE)
    assert received_live == CHAINS[0] * 2


async def assert_demo_runs_without_coffee_and_money(shop: Shop) -> None:
    """A product and a customer of its own replace those that earlier orders have used up."""
    spent = await shop.buy(order(RICH, (COFFEE, 193)))
    assert spent["status"] == "COMPLETED"
    path = f"/api/v1/products/{COFFEE}/stock"
    taken = await shop.call("product", "PATCH", path, {"delta": -799}, idempotency_key="all of it")
    assert taken.body["stock"] == 0
    ended = run_demo(shop.environment)
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout
    assert len(events_by_scene(ended.stdout)) == len(CHAINS)
    assert await shop.balance(RICH) == 5_000


async def assert_demo_reports_missing_events_and_answers(shop: Shop) -> None:
    """An order whose saga stands still: arrived events are printed, missing ones are named."""
    shop.command("stop", "coupon")
    stack = recorded(Path(shop.environment["STATE_DIR"]))
    assert stack is not None
    output = StringIO()
    async with observing(stack) as observer:
        stage = Stage(observer, shop, Console(file=output), timeout_seconds=1)
        await stage.listen()
        await stage.place(
            order(RICH, (COFFEE, 1)), Expected("COMPLETED", "OrderCreated CouponUsed")
        )
    assert stage.differences == [
        "status is PENDING, not COMPLETED",
        "CouponUsed did not come within 1 s",
    ]
    assert "OrderCreated" in output.getvalue()

    shop.command("stop", "payment")
    ended = run_demo(shop.environment)
    assert ended.returncode == 1
    assert "make status" in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_demo_prints_what_differs_from_the_expected_end() -> None:
    output = StringIO()
    completed = {"status": "COMPLETED", "failReason": None}
    async with open_shop({}) as shop:
        stage = Stage(Client(), shop, Console(file=output, width=200))
        assert stage.conclude(completed, "paid")
        stage.check("balance", 5, 10)
        stage.check("coupon", "USED", "USED")
        assert not stage.conclude(completed, "twice")
    assert [line.strip() for line in output.getvalue().splitlines()] == [
        "=> COMPLETED: paid",
        "x COMPLETED: twice",
        "wrong: balance is 5, not 10",
    ]


def test_demo_without_a_stack_prints_the_next_step(tmp_path: Path) -> None:
    ended = run_demo(os.environ | {"STATE_DIR": str(tmp_path)})
    assert ended.returncode == 1
    assert ended.stderr.strip() == "The stack is not running. Run: make up"
