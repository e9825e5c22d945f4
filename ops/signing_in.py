"""Staying signed in for longer than an access token lasts."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

RETRY_SECONDS = 1.0


@asynccontextmanager
async def signed_in(
    sign_in: Callable[[], Awaitable[float]], *passing: type[Exception]
) -> AsyncIterator[None]:
    """Sign in now, and again whenever half of an access token's life is over.

    `sign_in` returns that life in seconds. `passing`: what it raises while the user service is
    away; it is tried again then, except for the first time.
    """
    renewal = asyncio.create_task(_renew(await sign_in(), sign_in, passing))
    try:
        yield
    finally:
        renewal.cancel()


async def _renew(
    seconds: float, sign_in: Callable[[], Awaitable[float]], passing: tuple[type[Exception], ...]
) -> None:
    while True:
        await asyncio.sleep(seconds / 2)
        try:
            seconds = await sign_in()
        except passing:
            seconds = 2 * RETRY_SECONDS
