"""Instances behind a balancer that repeats no request are restarted: no client notices."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import cycle
from pathlib import Path
from time import monotonic
from uuid import uuid4

import aiohttp

from tests.integration.conftest import NatsServer
from tests.integration.service_process import running_service
from tests.kit.client import free_port, wait_until

CLIENTS = 8
HEALTH_CHECK_SECONDS = 0.1
DRAIN_SECONDS = 1  # many health checks


class Balancer:
    """Keeps connections to each backend alive, asks `/health/ready`, and repeats nothing."""

    def __init__(self, http: aiohttp.ClientSession, urls: list[str]) -> None:
        self._http = http
        self._ready = dict.fromkeys(urls, True)
        self._turns = cycle(urls)
        self.answers: Counter[object] = Counter()
        self.by_backend: Counter[str] = Counter()

    async def keep_checking(self) -> None:
        while True:
            for url in self._ready:
                self._ready[url] = await self._is_ready(url)
            await asyncio.sleep(HEALTH_CHECK_SECONDS)

    async def keep_sending(self) -> None:
        """One client: a wallet after the other. POST is nothing that aiohttp repeats by itself."""
        while True:
            url = next(each for each in self._turns if self._ready[each])
            self.by_backend[url] += 1
            body = {"customerId": str(uuid4())}
            try:
                async with self._http.post(f"{url}/api/v1/wallets", json=body) as response:
                    self.answers[response.status] += 1
            except aiohttp.ClientError as error:
                self.answers[repr(error)] += 1

    async def _is_ready(self, url: str) -> bool:
        # On a connection of its own, as balancers do.
        try:
            async with (
                aiohttp.ClientSession() as http,
                http.get(f"{url}/health/ready") as response,
            ):
                return response.status == 200
        except aiohttp.ClientError:
            return False


@asynccontextmanager
async def load(balancer: Balancer) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(balancer.keep_checking())]
        tasks += [group.create_task(balancer.keep_sending()) for _ in range(CLIENTS)]
        yield
        for task in tasks:
            task.cancel()


async def test_no_request_fails_while_each_instance_is_restarted(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    given = {"NATS_URL": nats_server.url, "DRAIN_SECONDS": str(DRAIN_SECONDS)}
    ports = [free_port(), free_port()]
    urls = [f"http://127.0.0.1:{port}" for port in ports]

    async def start(port: int) -> AsyncExitStack:
        instance = AsyncExitStack()
        process = await instance.enter_async_context(
            running_service("payment", tmp_path, given, port)
        )
        await wait_until(process.is_ready, "the instance is ready")
        return instance

    async with AsyncExitStack() as running, aiohttp.ClientSession() as http:
        instances = {port: await start(port) for port in ports}
        balancer = Balancer(http, urls)
        async with load(balancer):
            for port, url in zip(ports, urls, strict=True):
                await instances[port].aclose()  # SIGTERM, and wait
                instances[port] = await start(port)
                sent = balancer.by_backend[url]

                async def is_used(url: str = url, sent: int = sent) -> bool:
                    return balancer.by_backend[url] > sent + 20

                await wait_until(is_used, "the balancer uses the new instance")
        for instance in instances.values():
            running.push_async_callback(instance.aclose)
    assert set(balancer.answers) == {201}, balancer.answers
    assert balancer.answers[201] > 100


async def test_draining_instance_answers_and_closes_connections(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    given = {"NATS_URL": nats_server.url, "DRAIN_SECONDS": "60"}
    async with running_service("payment", tmp_path, given) as payment:
        before = await payment.ready()
        assert (before.status, before.headers.get("Connection")) == (200, None)
        payment.process.terminate()

        async def is_draining() -> bool:
            return (await payment.ready()).status == 503

        await wait_until(is_draining, "it is not ready")
        ready = await payment.ready()
        assert ready.body["checks"]["draining"]["ok"] is False
        body = {"customerId": str(uuid4())}
        created = await payment.shop.call("payment", "POST", "/api/v1/wallets", body)
        assert (created.status, created.headers["Connection"]) == (201, "close")
        assert (await payment.shop.call("payment", "GET", "/health/live")).status == 200
        payment.process.terminate()  # a second signal ends the wait
        payment.process.wait(10)


async def test_idle_connection_stays_open_as_long_as_it_is_told(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    given = {"NATS_URL": nats_server.url, "KEEP_ALIVE_SECONDS": "1"}
    port = free_port()
    async with running_service("payment", tmp_path, given, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /health/live HTTP/1.1\r\nHost: test\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        answered_at = monotonic()
        async with asyncio.timeout(4):  # by uvicorn's default it would be five seconds
            await reader.read()
        assert monotonic() - answered_at > 0.9
        writer.close()
