"""Invalid, long and missing idempotency keys."""

import pytest

from tests.e2e.api.raw_http import Wire, complaint, nothing_stored
from tests.e2e.api.routes import ROUTES, VALID_BODY_CODES, Route, valid

WITH_KEY = [route for route in ROUTES if route.key]
BAD_KEYS = ("", " ", "schlüssel", "열쇠", "\N{KEY}", "x" * 256, "x" * 5000, "tab\there")


@pytest.mark.parametrize("route", WITH_KEY, ids=lambda route: route.name)
async def test_invalid_key_is_refused(wire: Wire, route: Route) -> None:
    wrong = {}
    async with nothing_stored(wire.shop):
        for key in BAD_KEYS:
            answer = await wire.send_json(
                route.service, route.method, route.address, valid(route.body), idempotency_key=key
            )
            if problem := complaint(answer, 400, "VALIDATION_ERROR"):
                wrong[key[:20]] = problem
    assert wrong == {}


@pytest.mark.parametrize("route", WITH_KEY, ids=lambda route: route.name)
async def test_key_of_255_characters_is_accepted(wire: Wire, route: Route) -> None:
    key = f"{route.name[:40]} ~!".ljust(255, "x")
    answer = await wire.send_json(
        route.service, route.method, route.address, valid(route.body), idempotency_key=key
    )
    assert answer.status in (200, 201) or answer.body["error"].endswith(VALID_BODY_CODES), answer


async def test_stock_change_without_key_is_refused(wire: Wire) -> None:
    product = await wire.shop.create_product(price=10, stock=5)
    path = f"/api/v1/products/{product}/stock"
    async with nothing_stored(wire.shop):
        answer = await wire.send_json("product", "PATCH", path, {"delta": 1})
    assert not complaint(answer, 400, "VALIDATION_ERROR"), answer
    assert "Idempotency-Key" in answer.body["message"]
