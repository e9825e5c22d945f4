"""Stacks for wrong input, and for nothing else: it leaves data behind that no test could use."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.correctness.fuzz.examples import ASKED_FOR
from tests.kit.client import SERVICES, Shop, open_shop, running_stack
from tests.kit.postgres import create_database, program, running_postgres

NO_POSTGRES = pytest.mark.skipif(
    program("initdb") is None, reason="PostgreSQL is not installed (make postgres)"
)
DATABASES = ("sqlite", pytest.param("postgresql", marks=NO_POSTGRES))


@contextmanager
def stack_on(database: str, folder: Path, **settings: str) -> Iterator[Mapping[str, str]]:
    with ExitStack() as started:
        if database == "postgresql":
            server = started.enter_context(running_postgres())
            settings |= {
                f"{service.upper()}_DATABASE_URL": create_database(server, f"{service}_db")
                for service in SERVICES
            }
        yield started.enter_context(running_stack(folder, **settings))


@pytest.fixture(scope="module", params=DATABASES if ASKED_FOR else DATABASES[:1])
def fuzzed_stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, str]]:
    folder = tmp_path_factory.mktemp("fuzzed")
    with stack_on(request.param, folder, AUTH="on") as environment:
        yield environment


@pytest.fixture
async def fuzzed_shop(fuzzed_stack: Mapping[str, str]) -> AsyncIterator[Shop]:
    async with open_shop(fuzzed_stack) as shop:
        yield shop


@pytest.fixture(scope="module", params=DATABASES)
def doomed_stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, str]]:
    """For input that would stop a service for good if it were not handled."""
    with stack_on(request.param, tmp_path_factory.mktemp("doomed")) as environment:
        yield environment


@pytest.fixture
async def doomed_shop(doomed_stack: Mapping[str, str]) -> AsyncIterator[Shop]:
    async with open_shop(doomed_stack) as shop:
        yield shop
