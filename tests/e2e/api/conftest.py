"""A client for requests that the shop's client never sends: raw paths, headers and bodies."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.e2e.api.raw_http import Wire
from tests.kit.client import Shop


@pytest.fixture
async def wire(shop: Shop) -> AsyncIterator[Wire]:
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        yield Wire(shop, http)
