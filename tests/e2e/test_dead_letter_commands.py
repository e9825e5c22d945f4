"""`make dlq`, `make redrive` and `make dismiss` on a stack with malformed messages."""

import asyncio
import subprocess
import sys
from uuid import uuid4

from tests.kit.client import ROOT, Json, Shop, wait_until


async def poisoned(shop: Shop) -> Json:
    """Publish a malformed message to coupon. Returns its dead letter."""
    subject = f"saga.{uuid4()}.OrderCreated"
    async with shop.nats() as client:
        await client.jetstream().publish(subject, b"not json")
    found: list[Json] = []

    async def is_dead_letter() -> bool:
        found[:] = [
            each for each in await shop.dead_letters("coupon") if each["subject"] == subject
        ]
        return bool(found)

    await wait_until(is_dead_letter, "the message is a dead letter")
    return found[0]


async def ops(shop: Shop, *words: str, columns: int = 80) -> tuple[int, str]:
    """The exit status of a command, and what it prints on either stream."""

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "ops", *words],
            cwd=ROOT,
            env={**shop.environment, "COLUMNS": str(columns)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )

    done = await asyncio.to_thread(run)
    return done.returncode, done.stdout


async def test_each_dead_letter_is_one_whole_line(shop: Shop) -> None:
    letter = await poisoned(shop)
    key = letter["subject"].split(".")[1]
    for columns in (80, 100):
        status, listed = await ops(shop, "dlq", columns=columns)
        assert status == 0
        [line] = [each for each in listed.splitlines() if key in each]
        expected = ["coupon", str(letter["id"]), "OPEN", "0", "OrderCreated", key]
        assert line.split()[:6] == expected
        assert line.endswith(f"  UNREADABLE  {letter['error']}")


async def test_redrive_prints_its_outcome(shop: Shop) -> None:
    letter = await poisoned(shop)
    status, printed = await ops(shop, "redrive", "coupon", str(letter["id"]))
    assert status == 1
    assert printed == (
        f"coupon: dead letter {letter['id']} is FAILED_AGAIN (attempt 1): "
        f"UNREADABLE: {letter['error']}\n"
    )
    status, printed = await ops(shop, "redrive", "coupon", str(letter["id"]), "--preview")
    assert (status, printed) == (
        0,
        f"coupon: dead letter {letter['id']} would fail again: {letter['error']}\n",
    )


async def test_all_takes_what_is_not_done(shop: Shop) -> None:
    ids = [(await poisoned(shop))["id"] for _ in range(2)]
    for attempt in (1, 2):
        status, printed = await ops(shop, "redrive", "coupon", "all")
        assert status == 1
        for letter_id in ids:
            assert f"dead letter {letter_id} is FAILED_AGAIN (attempt {attempt})" in printed
    status, printed = await ops(shop, "dismiss", "coupon", "all", "--reason", "a test's own")
    assert status == 0
    for letter_id in ids:
        assert f"coupon: dead letter {letter_id} is DISMISSED: a test's own\n" in printed
    status, printed = await ops(shop, "redrive", "coupon", "all")
    assert (status, printed) == (0, "coupon has no dead letter to redrive.\n")
    status, printed = await ops(shop, "redrive", "coupon", str(ids[0]))
    assert status == 1
    assert f"dead letter {ids[0]} is DISMISSED" in printed


async def test_wrong_dead_letter_id_is_refused(shop: Shop) -> None:
    status, printed = await ops(shop, "redrive", "coupon", "999999")
    assert status == 1
    assert "there is no dead letter 999999" in printed
    status, printed = await ops(shop, "dismiss", "coupon", "first", "--reason", "none")
    assert status == 1
    assert "'first' is no dead letter's id" in printed
