"""Settings of streams that exist: a service reports a difference, an operator's command ends it."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from nats.js.api import DiscardPolicy, StorageType

from chassis.broker.jetstream import JetStream
from chassis.broker.streams import stream_config
from chassis.settings import BrokerSettings
from events.contract import CONTRACT
from infra.stack import broker
from infra.stack.config import StackError
from payment.reactions import reactions
from tests.integration.conftest import NatsServer
from tests.kit.client import wait_until
from tests.kit.settings import settings_of

SAGA = CONTRACT.streams["SAGA"]


@asynccontextmanager
async def service(server: NatsServer, **environment: str) -> AsyncIterator[JetStream]:
    settings = settings_of("payment", {"NATS_URL": server.url, **environment})
    jetstream = JetStream(reactions, settings)

    async def verify() -> None: ...

    await jetstream.start(lambda _: None, lambda: 100, verify)
    try:
        yield jetstream
    finally:
        await jetstream.stop_delivering()
        await jetstream.stop()


def logged(caplog: pytest.LogCaptureFixture, field: str) -> list[str]:
    return [vars(record)[field] for record in caplog.records if field in vars(record)]


async def test_difference_is_reported_with_both_values_and_then_applied(
    nats_server: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    older = stream_config(SAGA, 1).evolve(max_age=60, duplicate_window=30, description="ours")
    async with nats_server.jetstream() as js:
        await js.add_stream(older)
        for _ in range(2):  # each instance reports it once
            async with service(nats_server) as instance:
                await asyncio.wait_for(instance.wait_connected(), 10)
                await instance.declare()
        found = (await js.stream_info("SAGA")).config
        assert (found.max_age, found.duplicate_window) == (60, 30)
        differences = (
            "max_age is 60, and should be 604800; duplicate_window is 30, and should be 120"
        )
        assert logged(caplog, "differences") == [differences] * 2

        settings = BrokerSettings(nats_url=nats_server.url)
        assert await broker.apply_stream_settings(settings, 1, 0) == {"SAGA": differences}
        assert await broker.apply_stream_settings(settings, 1, 0) == {}
        found = (await js.stream_info("SAGA")).config
        assert (found.max_age, found.duplicate_window, found.description) == (604800, 120, "ours")
        async with service(nats_server) as instance:
            await asyncio.wait_for(instance.wait_connected(), 10)
    assert len(logged(caplog, "differences")) == 2


async def test_setting_that_the_broker_can_not_change_is_refused_with_its_text(
    nats_server: NatsServer,
) -> None:
    async with nats_server.jetstream() as js:
        await js.add_stream(stream_config(SAGA, 1).evolve(storage=StorageType.MEMORY))
    with pytest.raises(StackError, match="can not change storage type"):
        await broker.apply_stream_settings(BrokerSettings(nats_url=nats_server.url), 1, 0)


async def test_refused_stream_is_logged_with_the_text_of_the_broker(
    nats_server: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "chassis.broker")
    async with service(nats_server, NATS_REPLICAS="3"):

        async def is_logged() -> bool:
            return bool(caplog.records)

        await wait_until(is_logged, "the outage is logged")
    [error] = logged(caplog, "error")
    assert "replicas > 1 not supported in non-clustered mode" in error


async def test_stream_may_take_more_than_half_of_what_the_broker_has(tmp_path: Path) -> None:
    """Asked to create it again, the broker would refuse: it has no room for a second one."""
    (tmp_path / "nats.conf").write_text("jetstream { max_file: 10MB }")
    server = NatsServer(tmp_path / "jetstream", "-c", str(tmp_path / "nats.conf"))
    await server.start()
    try:
        for _ in range(2):
            async with service(server, NATS_STREAM_BYTES="7000000") as instance:
                await asyncio.wait_for(instance.wait_connected(), 10)
        async with server.jetstream() as js:
            found = (await js.stream_info("SAGA")).config
        assert (found.max_bytes, found.discard) == (7_000_000, DiscardPolicy.NEW)
    finally:
        await server.stop()
