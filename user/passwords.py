"""Hashing passwords with Argon2id (RFC 9106), beside the event loop and bounded.

A hash takes 20 ms of a core on purpose. Few threads make them, and what waits for them is bounded:
a flood of sign-ins gets 503 and does not slow orders down.
"""

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from chassis.components import Component
from saga.errors import RetryLater
from user.unit_of_work import UserUnitOfWork

T = TypeVar("T")

THREADS = 1
MAX_WAITING = 50
"""A second's worth of hashes."""

MEMORY_KIB = 19 * 1024
PASSES = 2
"""With 19 MiB and one lane, the least that OWASP's Password Storage Cheat Sheet recommends."""


class Passwords(Component[UserUnitOfWork]):
    """One for each instance."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=1)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="passwords")
        self._waiting = 0
        self._of_unknown_user = self._hasher.hash(secrets.token_hex())

    def check_room(self) -> None:
        """Raises RetryLater when too many wait: before anything is read for one more."""
        if self._waiting >= MAX_WAITING:
            raise RetryLater("too many sign in at once; try again")

    async def hash(self, password: str) -> str:
        """Raises RetryLater when too many wait."""
        return await self._run(lambda: self._hasher.hash(password))

    async def matches(self, password_hash: str | None, password: str) -> bool:
        """Is this the password? None, for an unknown user, takes as long. Raises RetryLater."""
        return await self._run(
            lambda: self._verify(password_hash or self._of_unknown_user, password)
        )

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        self.check_room()
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1
