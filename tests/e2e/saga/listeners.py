"""Figures of clients that follow orders live."""

import aiohttp

from tests.kit.client import Shop


async def subscriptions(shop: Shop) -> int:
    """The number of subscriptions that the order service's instances have at the broker."""
    url = f"http://127.0.0.1:{shop.environment['NATS_MONITOR_PORT']}/connz?limit=1000"
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        connections = (await answer.json())["connections"]
    mine = [each for each in connections if each.get("name", "").startswith("order-")]
    return sum(each["subscriptions"] for each in mine)


async def listeners(shop: Shop) -> int:
    """The number of listeners in the order service's metrics."""
    metrics: str = await shop.get("order", "/metrics")
    [line] = [line for line in metrics.splitlines() if line.startswith("shop_listeners ")]
    return int(float(line.split()[1]))
