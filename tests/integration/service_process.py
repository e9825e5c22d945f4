"""One service as a process of its own, on a database and a broker that a test gives it."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from tests.kit.client import Response, Shop, free_port, open_shop, wait_until
from tests.kit.service_instances import is_alive
from tests.kit.stack import ROOT


class ServiceProcess:
    """The process, its log, and its client."""

    def __init__(
        self, service: str, process: "subprocess.Popen[bytes]", log: Path, shop: Shop
    ) -> None:
        self.process = process
        self.shop = shop
        self._service = service
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text()

    async def ready(self) -> Response:
        return await self.shop.call(self._service, "GET", "/health/ready")

    async def is_ready(self) -> bool:
        return (await self.ready()).status == 200

    async def check(self, name: str) -> bool:
        """Whether a check of readiness passes."""
        return bool((await self.ready()).body["checks"][name]["ok"])


@asynccontextmanager
async def running_service(
    service: str, folder: Path, settings: Mapping[str, str], port: int | None = None
) -> AsyncIterator[ServiceProcess]:
    """Run it until the block ends; within the block its HTTP server answers."""
    port = port or free_port()
    environment = os.environ | {
        f"{service.upper()}_PORT": str(port),
        "STATE_DIR": str(folder),
        "DRAIN_SECONDS": "0",
        **settings,
    }
    log = folder / f"{service}-{port}.log"
    process = _start(service, environment, log)
    try:
        async with open_shop({f"{service.upper()}_URL": f"http://127.0.0.1:{port}"}) as shop:
            await wait_until(partial(is_alive, shop, service), f"{service} answers", 30)
            yield ServiceProcess(service, process, log, shop)
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 20)


def _start(service: str, environment: Mapping[str, str], log: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", service]
    with log.open("ab") as output:
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
