"""A stack whose broker is a cluster of three servers, shared by the tests of this folder."""

from collections.abc import AsyncIterator, Iterator, Mapping

import pytest

from tests.kit.client import Shop, open_shop, running_stack


@pytest.fixture(scope="package")
def cluster_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    with running_stack(tmp_path_factory.mktemp("cluster"), CLUSTER="3") as environment:
        yield environment


@pytest.fixture
async def cluster_shop(cluster_stack: Mapping[str, str]) -> AsyncIterator[Shop]:
    """Its servers may be stopped and killed. Its audit is clean before and after a test."""
    async with open_shop(cluster_stack) as shop:
        await shop.wait_until_ready()
        yield shop
