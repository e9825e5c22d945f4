"""Services are stopped while their broker is gone, with orders under way."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from infra.stack import pids
from tests.e2e.saga.order_load import start_load
from tests.kit.client import SERVICES, Shop, wait_until

MAX_STOP_SECONDS = 10.0  # half of the time after which the supervisor kills a service


@contextmanager
def hanging(shop: Shop) -> Iterator[None]:
    pid = pids.alive(Path(shop.environment["STATE_DIR"]), "nats")
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def stopped(shop: Shop) -> Iterator[None]:
    shop.command("stop", "nats")
    try:
        yield
    finally:
        shop.command("start", "nats")


@pytest.mark.parametrize("gone", [stopped, hanging])
async def test_services_stop_in_time_and_without_a_traceback(
    breakable_shop: Shop, gone: Callable[[Shop], AbstractContextManager[None]]
) -> None:
    shop = breakable_shop
    orders = await start_load(shop)
    for service in SERVICES:
        if not log_of(shop, service).exists():  # another test deletes the folder
            await asyncio.to_thread(shop.command, "stop", service)
            await asyncio.to_thread(shop.command, "start", service)
    before = {service: log_of(shop, service).stat().st_size for service in SERVICES}
    with gone(shop):
        await orders.place(10)
        await wait_until_noticed(shop, before)
        seconds = await asyncio.gather(*(stop(shop, service) for service in SERVICES))
    starts = (asyncio.to_thread(shop.command, "start", service) for service in SERVICES)
    await asyncio.gather(*starts)
    assert max(seconds) < MAX_STOP_SECONDS
    for service in SERVICES:
        assert errors(shop, service, before[service]) == []
    await shop.wait_until_ready()
    await orders.assert_all_ended()


async def wait_until_noticed(shop: Shop, before: dict[str, int]) -> None:
    """Wait until each service has noticed that the broker is gone."""

    async def have_noticed() -> bool:
        return all("outage of" in written(shop, each, before[each]) for each in SERVICES)

    await wait_until(have_noticed, "the services have noticed the outage", 30)


async def stop(shop: Shop, service: str) -> float:
    """Returns how long it took, in seconds."""
    began = time.monotonic()
    await asyncio.to_thread(shop.command, "stop", service)
    return time.monotonic() - began


def log_of(shop: Shop, service: str) -> Path:
    return Path(shop.environment["STATE_DIR"]) / "logs" / f"{service}.log"


def written(shop: Shop, service: str, since: int) -> str:
    with log_of(shop, service).open("rb") as file:
        file.seek(since)
        return file.read().decode()


def errors(shop: Shop, service: str, since: int) -> list[str]:
    """What it logged as an error or as no JSON at all."""
    lines = written(shop, service, since).splitlines()
    return [
        line
        for line in lines
        if not line.startswith("{") or json.loads(line)["level"] in ("ERROR", "CRITICAL")
    ]
