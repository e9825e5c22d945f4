"""Hashing passwords: beside the event loop, bounded, and as slow for an unknown user."""

import asyncio
import statistics
import threading
from collections.abc import AsyncIterator
from time import perf_counter

import pytest

from saga.errors import RetryLater
from user import passwords as module
from user.passwords import MAX_WAITING, THREADS, Passwords

PASSWORD = "seven red umbrellas"
ROUNDS = 9


@pytest.fixture
async def passwords() -> AsyncIterator[Passwords]:
    found = Passwords()
    yield found
    await found.close()


class HeldHasher:
    """Hashes nothing until it may go on, and counts the threads that are in it."""

    def __init__(self) -> None:
        self.may_go_on = threading.Event()
        self.names: set[str] = set()

    def verify(self, _: str, password: str) -> bool:
        self.names.add(threading.current_thread().name)
        self.may_go_on.wait(20)
        return password == PASSWORD


async def test_few_threads_hash_and_what_waits_is_bounded(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The flood gets its 503 at once, while the event loop is free for others."""
    hasher = HeldHasher()
    monkeypatch.setattr(passwords, "_hasher", hasher)
    waiting = [asyncio.create_task(passwords.matches("hash", PASSWORD)) for _ in range(MAX_WAITING)]
    await asyncio.sleep(0)  # until each has begun
    for _ in range(1_000):
        with pytest.raises(RetryLater):
            passwords.check_room()
        with pytest.raises(RetryLater):
            await passwords.matches("hash", PASSWORD)
    assert not any(each.done() for each in waiting)
    hasher.may_go_on.set()
    assert await asyncio.gather(*waiting) == [True] * MAX_WAITING
    assert len(hasher.names) == THREADS
    passwords.check_room()


async def test_event_loop_runs_while_a_password_is_hashed(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasher = HeldHasher()
    monkeypatch.setattr(passwords, "_hasher", hasher)
    hashing = asyncio.create_task(passwords.matches("hash", "another"))
    while not hasher.names:
        await asyncio.sleep(0)
    assert not hashing.done()
    hasher.may_go_on.set()
    assert not await hashing


async def test_unknown_user_takes_as_long_as_a_wrong_password(passwords: Passwords) -> None:
    """In turns, so that a slow moment of the machine affects both."""
    stored = await passwords.hash(PASSWORD)
    wrong, unknown = list[float](), list[float]()
    for _ in range(ROUNDS):
        wrong.append(await _seconds(passwords, stored))
        unknown.append(await _seconds(passwords, None))
    ratio = statistics.median(unknown) / statistics.median(wrong)
    assert 0.5 < ratio < 2, ratio


async def _seconds(passwords: Passwords, stored: str | None) -> float:
    began_at = perf_counter()
    assert not await passwords.matches(stored, "a wrong password")
    return perf_counter() - began_at


async def test_password_of_the_unknown_user_is_nobodys(passwords: Passwords) -> None:
    for guess in ("", "None", "password", PASSWORD):
        assert not await passwords.matches(None, guess)


async def test_hash_has_a_salt_and_the_recommended_cost(passwords: Passwords) -> None:
    one, other = await passwords.hash(PASSWORD), await passwords.hash(PASSWORD)
    assert one != other
    cost = f"m={module.MEMORY_KIB},t={module.PASSES},p=1"
    assert one.startswith(f"$argon2id$v=19${cost}$")
    assert (module.MEMORY_KIB, module.PASSES) >= (19 * 1024, 2)
