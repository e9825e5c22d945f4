"""A simulated data platform of a test's own, and its behaviours."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from infra.simulators import platform
from tests.kit.client import Json, Shop, free_port


@asynccontextmanager
async def simulated(file: Path) -> AsyncIterator[str]:
    """Run the simulator in this process. Yields its address."""
    runner, port = web.AppRunner(platform.build(file), shutdown_timeout=0.1), free_port()
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


async def behave(url: str, does: str, **more: Any) -> None:
    """Add a behaviour to those that it has."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/control/behaviours", json={"does": does} | more) as answer,
    ):
        assert answer.status == 200, await answer.text()


async def forget(url: str) -> None:
    """Delete all behaviours."""
    async with (
        aiohttp.ClientSession() as session,
        session.delete(f"{url}/control/behaviours") as answer,
    ):
        assert answer.status == 200


async def statement(url: str) -> list[Json]:
    """The orders that it has accepted."""
    found: list[Json] = []
    async with aiohttp.ClientSession() as session:
        while True:
            after = found[-1]["sequence"] if found else 0
            async with session.get(f"{url}/v1/statement?after={after}") as answer:
                page = (await answer.json())["items"]
            if not page:
                return found
            found += page


async def accepted(shop: Shop) -> dict[str, int]:
    """How often each order was delivered to the stack's simulated platform."""
    lines = await statement(shop.environment["PLATFORM_URL"])
    return {line["key"]: line["deliveries"] for line in lines}
