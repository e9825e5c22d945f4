"""A stack for the whole run, one for each module that breaks things, and one for new data."""

import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import pytest

from tests.kit.client import Shop, open_shop, running_stack


def pytest_configure() -> None:
    """A run that is told to end stops what it started, as one that is interrupted does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    with running_stack(tmp_path_factory.mktemp("stack")) as environment:
        yield environment


@pytest.fixture
async def shop(stack: Mapping[str, str]) -> AsyncIterator[Shop]:
    """The shared stack. Tests make customers and products of their own on it."""
    async with open_shop(stack) as shop:
        yield shop


@pytest.fixture(scope="module")
def shaken_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    with running_stack(tmp_path_factory.mktemp("shaken")) as environment:
        yield environment


@pytest.fixture
async def shaken_shop(shaken_stack: Mapping[str, str]) -> AsyncIterator[Shop]:
    """A stack of the module's own. Its tests stop and kill parts, and bring them back."""
    async with open_shop(shaken_stack) as shop:
        yield shop


@pytest.fixture
def fresh_stack(tmp_path: Path) -> Iterator[Mapping[str, str]]:
    with running_stack(tmp_path / "stack") as environment:
        yield environment


@pytest.fixture
async def fresh_shop(fresh_stack: Mapping[str, str]) -> AsyncIterator[Shop]:
    """A stack of the test's own, with the first data."""
    async with open_shop(fresh_stack) as shop:
        yield shop
