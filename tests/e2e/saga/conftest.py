"""A stack for tests that tell services what no service said, or that stop some of them."""

from collections.abc import AsyncIterator, Iterator, Mapping

import pytest

from tests.kit.client import Shop, open_shop, running_stack


@pytest.fixture(scope="session")
def rough_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    with running_stack(tmp_path_factory.mktemp("rough")) as environment:
        yield environment


@pytest.fixture
async def rough_shop(rough_stack: Mapping[str, str]) -> AsyncIterator[Shop]:
    """Like `shop`, but its books need not add up: orders appear there that nobody placed."""
    async with open_shop(rough_stack) as shop:
        yield shop
