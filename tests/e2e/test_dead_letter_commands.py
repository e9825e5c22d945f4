"""`make dlq` and `make redrive` on a stack with a malformed message."""

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from uuid import uuid4

from tests.kit.client import ROOT, Shop, wait_until


async def poisoned(shop: Shop) -> str:
    """Publish a malformed message to coupon. Returns its subject."""
    subject = f"saga.{uuid4()}.OrderCreated"
    async with shop.nats() as client:
        await client.jetstream().publish(subject, b"not json")

    async def is_dead_letter() -> bool:
        return any(each["subject"] == subject for each in await shop.dead_letters("coupon"))

    await wait_until(is_dead_letter, "the message is a dead letter")
    return subject


async def letter_of(shop: Shop, subject: str) -> dict[str, object]:
    [letter] = [each for each in await shop.dead_letters("coupon") if each["subject"] == subject]
    return letter


async def redriven(shop: Shop, subject: str) -> None:
    async def is_redriven() -> bool:
        return (await letter_of(shop, subject))["redrivenAt"] is not None

    await wait_until(is_redriven, "the dead letter is redriven")


async def test_dead_letters_are_listed_and_redriven(shop: Shop) -> None:
    subject = await poisoned(shop)
    listed = await asyncio.to_thread(shop.command, "dlq")
    assert "UNREADABLE" in listed
    letter = await letter_of(shop, subject)
    assert letter["redrivenAt"] is None

    printed = await asyncio.to_thread(shop.command, "redrive", "coupon", str(letter["id"]))

    assert printed == f"coupon handles dead letter {letter['id']} again.\n"
    await redriven(shop, subject)


async def test_all_dead_letters_are_redriven_once(shop: Shop) -> None:
    subjects = [await poisoned(shop) for _ in range(2)]
    first = await asyncio.to_thread(shop.command, "redrive", "coupon", "all")
    ids = [(await letter_of(shop, subject))["id"] for subject in subjects]
    assert all(f"dead letter {each} again" in first for each in ids)
    for subject in subjects:
        await redriven(shop, subject)
    second = await asyncio.to_thread(shop.command, "redrive", "coupon", "all")
    assert second == "coupon has no dead letter to redrive.\n"


async def test_wrong_dead_letter_id_is_refused(shop: Shop) -> None:
    unknown = await asyncio.to_thread(refused, shop.environment, "coupon", "999999")
    assert "there is no dead letter 999999" in unknown
    nonsense = await asyncio.to_thread(refused, shop.environment, "coupon", "first")
    assert "'first' is no dead letter's id" in nonsense


def refused(environment: Mapping[str, str], service: str, letter: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "ops", "redrive", service, letter],
        cwd=ROOT,
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stdout
    return done.stderr
