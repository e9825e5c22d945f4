"""The stacks of end-to-end tests. Each worker starts one of a kind, when a test first needs it."""

import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import pytest

from tests.kit.client import Shop, open_shop, running_stack


def pytest_configure() -> None:
    """A run that is terminated stops its processes, as an interrupted one does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    with running_stack(tmp_path_factory.mktemp("stack")) as environment:
        yield environment


@pytest.fixture
async def shop(stack: Mapping[str, str]) -> AsyncIterator[Shop]:
    """The shared stack, whose parts keep running. Tests create their own customers and products."""
    async with open_shop(stack) as shop:
        yield shop


@pytest.fixture(scope="session")
def breakable_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    with running_stack(tmp_path_factory.mktemp("breakable")) as environment:
        yield environment


@pytest.fixture
async def breakable_shop(breakable_stack: Mapping[str, str]) -> AsyncIterator[Shop]:
    """A stack whose parts a test may stop and kill. Its audit is clean before and after a test."""
    async with open_shop(breakable_stack) as shop:
        await shop.wait_until_ready()
        yield shop


@pytest.fixture
def new_stack(tmp_path: Path) -> Iterator[Mapping[str, str]]:
    with running_stack(tmp_path / "stack") as environment:
        yield environment


@pytest.fixture
async def new_shop(new_stack: Mapping[str, str]) -> AsyncIterator[Shop]:
    """A stack of the test's own, with nothing but the first data."""
    async with open_shop(new_stack) as shop:
        yield shop
