"""Stacks for tests that publish forged messages, or that wait for time-outs."""

from collections.abc import AsyncIterator, Iterator, Mapping

import pytest

from tests.kit.client import Shop, open_shop, running_stack


@pytest.fixture(scope="package")
def forged_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    with running_stack(tmp_path_factory.mktemp("forged")) as environment:
        yield environment


@pytest.fixture
async def forged_shop(forged_stack: Mapping[str, str]) -> AsyncIterator[Shop]:
    """A stack for messages that no service published, and for changes of rows by hand.

    Its audit need not be clean.
    """
    async with open_shop(forged_stack) as shop:
        await shop.wait_until_ready()
        yield shop


SHORT_TIME_OUTS = {
    "ORDER_TIMEOUT_SECONDS": "4",
    "WAIT_TIMEOUT_SECONDS": "2",
    "REPEAT_AFTER_SECONDS": "4",
}


@pytest.fixture(scope="package")
def timeout_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    with running_stack(tmp_path_factory.mktemp("timeout"), **SHORT_TIME_OUTS) as environment:
        yield environment


@pytest.fixture
async def timeout_shop(timeout_stack: Mapping[str, str]) -> AsyncIterator[Shop]:
    """A breakable stack where orders time out after four seconds, and waits for stock after two.

    Events are retransmitted after four seconds.
    """
    async with open_shop(timeout_stack) as shop:
        await shop.wait_until_ready()
        yield shop
