"""Clients for requests that the shop's client never sends, and a stack that asks for sign-in."""

from collections.abc import AsyncIterator, Iterator, Mapping

import aiohttp
import pytest

from tests.e2e.api.raw_http import Wire
from tests.kit.client import Shop, running_stack

KEY_SECONDS = 5
"""How long a key of the signed stack signs."""

PAGE = "https://shop.example"
"""The origin of the pages that may call the signed stack."""


@pytest.fixture(scope="session")
def signed_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """It asks for sign-in, and is set up as behind TLS, for pages of another origin."""
    settings = {"AUTH": "on", "AUTH_KEY_SECONDS": f"{KEY_SECONDS}"}
    settings |= {"CORS_ORIGINS": PAGE, "BEHIND_TLS": "on"}
    with running_stack(tmp_path_factory.mktemp("signed"), **settings) as environment:
        yield environment


@pytest.fixture
async def wire(shop: Shop) -> AsyncIterator[Wire]:
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        yield Wire(shop, http)
