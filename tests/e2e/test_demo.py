"""`make demo` on a new stack, and once more on the same one."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from io import StringIO
from pathlib import Path

from httpx import AsyncClient
from rich.console import Console

from infra.stack.broker import observing
from infra.stack.config import recorded
from infra.stack.playing import Ending, Played, Stage, close
from infra.stack.shopping import Shop as DemoShop
from tests.e2e.audit_fixtures import found_wrong
from tests.kit.client import COFFEE, RICH, ROOT, Shop, order

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
"""How each order's events must begin. Those that undo it come in any order after these."""

UNDONE = [
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
        [sys.executable, "-m", "infra.stack.demo"],
        cwd=ROOT,
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def played(output: str) -> list[list[tuple[str, str, str]]]:
    """The events of each order: service, event, cause."""
    scenes: list[list[tuple[str, str, str]]] = []
    for line in output.splitlines():
        if re.match(r"^\d\. ", line):
            scenes.append([])
        elif found := EVENT.match(line):
            scenes[-1].append((found[1], found[2], found[3] or ""))
    return scenes


async def test_the_demo_plays_every_kind_of_order_twice(shaken_shop: Shop) -> None:
    for time in (1, 2):
        ended = run_demo(shaken_shop.environment)
        assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout
        scenes = played(ended.stdout)
        for events, chain, undone in zip(scenes, CHAINS, UNDONE, strict=True):
            names = [name for _, name, _ in events]
            assert names[: len(chain)] == chain
            assert set(names[len(chain) :]) == undone
            assert events[:1] in ([("order", "OrderCreated", "")], [])
            causeless = [name for _, name, cause in events[1:] if cause not in names]
            assert causeless in ([], ["OrderCancelRequested"], ["StockDecremented"])
        told = re.findall(r"^ +event: (\w+)$", ended.stdout, re.MULTILINE)
        assert told == CHAINS[0]
        outcomes = [line.strip() for line in ended.stdout.splitlines() if line.startswith("   => ")]
        assert outcomes[0] == (
            f"=> COMPLETED: paid 15,000 won; the wallet has {1_000_000 - time * 15_000:,} won, "
            f"{1000 - time * 3 - (time - 1)} Coffee are left"
        )
        assert outcomes[1].startswith("=> COMPLETED: 3,600 won off, paid 20,400")
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
    await it_makes_do_with_what_earlier_orders_have_left(shaken_shop)
    assert await found_wrong(shaken_shop) == []


async def it_makes_do_with_what_earlier_orders_have_left(shop: Shop) -> None:
    """No coffee and little money: a product and a customer of its own take their places."""
    spent = await shop.buy(order(RICH, (COFFEE, 193)))
    assert spent["status"] == "COMPLETED"
    path = f"/api/v1/products/{COFFEE}/stock"
    taken = await shop.call("product", "PATCH", path, {"delta": -799}, idempotency_key="all of it")
    assert taken.body["stock"] == 0
    ended = run_demo(shop.environment)
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout
    assert len(played(ended.stdout)) == len(CHAINS)
    assert await shop.balance(RICH) == 5_000


def test_an_outcome_that_is_not_as_it_should_be_is_told() -> None:
    output = StringIO()
    console = Console(file=output, width=200)
    right = Played("an order", {"status": "COMPLETED", "failReason": None}, ()).told("paid")
    assert close(right, console)
    assert not close(right.told("twice", balance=(5, 10), coupon=("USED", "USED")), console)
    assert [line.strip() for line in output.getvalue().splitlines()] == [
        "=> COMPLETED: paid",
        "x COMPLETED: twice",
        "wrong: balance is 5, not 10",
    ]


async def test_events_or_answers_that_do_not_come_are_missed(shaken_shop: Shop) -> None:
    """An order whose saga stands still: what came is printed, what did not is named."""
    shaken_shop.command("stop", "coupon")
    stack = recorded(Path(shaken_shop.environment["STATE_DIR"]))
    assert stack is not None
    output = StringIO()
    async with observing(stack) as observer, AsyncClient() as http:
        stage = Stage(observer, DemoShop(stack, http), Console(file=output), end_seconds=1)
        await stage.open()
        ending = Ending("COMPLETED", None, ("OrderCreated", "CouponUsed"))
        played = await stage.play(order(RICH, (COFFEE, 1)), ending)
    assert played.wrong == (
        "status is PENDING, not COMPLETED",
        "CouponUsed did not come within 1 s",
    )
    assert "OrderCreated" in output.getvalue()

    shaken_shop.command("stop", "payment")
    ended = run_demo(shaken_shop.environment)
    assert ended.returncode == 1
    assert "make status" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_without_a_stack_it_says_what_to_do(tmp_path: Path) -> None:
    ended = run_demo(os.environ | {"STATE_DIR": str(tmp_path)})
    assert ended.returncode == 1
    assert ended.stderr.strip() == "The stack is not running. Run: make up"
