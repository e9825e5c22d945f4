"""More instances of the services than the local stack runs."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from infra.stack import config, launch
from tests.kit.client import Shop, is_well, open_shop, wait_until
from tests.kit.stack import ROOT, SERVICES, free_port


@asynccontextmanager
async def second_instances(
    environment: Mapping[str, str], services: Sequence[str] = SERVICES, **settings: str
) -> AsyncIterator[dict[str, str]]:
    """A second process of each service, on the same databases and with settings of its own.

    Yields the addresses of all services, with those of the second processes.
    """
    addresses = dict(environment)
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for service in services:
            port = free_port()
            processes.append(start_second_instance(environment, service, port, **settings))
            addresses[f"{service.upper()}_URL"] = f"http://127.0.0.1:{port}"
        async with open_shop(addresses) as twin:
            for service in services:
                condition = partial(is_ready, twin, service)
                await wait_until(condition, f"a second {service} is ready", timeout_seconds=60)
        yield addresses
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            await asyncio.to_thread(process.wait, 20)


def start_second_instance(
    environment: Mapping[str, str], service: str, port: int, **settings: str
) -> subprocess.Popen[bytes]:
    stack = config.recorded(Path(environment["STATE_DIR"]))
    assert stack is not None
    variables = launch.environment(stack, service, environment)
    variables |= {f"{service.upper()}_PORT": str(port)}
    variables.pop("INSTANCE", None)  # an instance is then named after its port
    variables |= settings
    command = [sys.executable, "-m", service]
    return subprocess.Popen(command, cwd=ROOT, env=variables, stdout=subprocess.DEVNULL)


async def is_ready(shop: Shop, service: str) -> bool:
    """All its checks pass."""
    try:
        return is_well(await shop.call(service, "GET", "/health/ready"))
    except OSError:
        return False


async def is_alive(shop: Shop, service: str) -> bool:
    """The service answers; what it depends on may be missing."""
    try:
        return (await shop.call(service, "GET", "/health/live")).status == 200
    except OSError:
        return False
