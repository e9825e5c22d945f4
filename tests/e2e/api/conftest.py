"""Clients for requests that the shop's client never sends, and a stack that asks for sign-in."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping

import aiohttp
import pytest

from tests.e2e.api.raw_http import Wire
from tests.e2e.api.signed import Signed, make_things, make_tokens
from tests.kit.client import Shop, open_shop, running_stack

KEY_SECONDS = 5
"""How long a key of the signed stack signs."""

PAGE = "https://shop.example"
"""The origin of the pages that may call the signed stack."""


@pytest.fixture(scope="package")
def signed_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """It asks for sign-in, and is set up as behind TLS, for pages of another origin."""
    settings = {"AUTH": "on", "AUTH_KEY_SECONDS": f"{KEY_SECONDS}"}
    settings |= {"CORS_ORIGINS": PAGE, "BEHIND_TLS": "on"}
    with running_stack(tmp_path_factory.mktemp("signed"), **settings) as environment:
        yield environment


@pytest.fixture(scope="package")
def made(signed_stack: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The tokens of the signed stack's callers, and what is the first customer's."""

    async def make() -> tuple[dict[str, str], dict[str, str]]:
        async with open_shop(signed_stack) as shop:
            return await make_tokens(shop), await make_things(shop)

    return asyncio.run(make())


@pytest.fixture
async def signed(
    signed_stack: Mapping[str, str], made: tuple[dict[str, str], dict[str, str]]
) -> AsyncIterator[Signed]:
    async with open_shop(signed_stack) as shop, aiohttp.ClientSession() as http:
        await shop.wait_until_ready()
        yield Signed(Wire(shop, http), *made)


@pytest.fixture
async def wire(shop: Shop) -> AsyncIterator[Wire]:
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        yield Wire(shop, http)
