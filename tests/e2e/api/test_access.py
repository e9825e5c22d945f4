"""Who may call what, with AUTH=on: each route of the table by each kind of caller."""

import asyncio
import json
import re
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from joserfc import jws

from chassis.web.access import OPERATORS, PUBLIC, READERS, SIGNED_IN
from product.routes import SHOPKEEPERS
from tests.e2e.api.conftest import KEY_SECONDS
from tests.e2e.api.routes import Route
from tests.e2e.api.signed import ACCESSES, OF_API, OWNED, Signed, error_of, keys_of, log_in, sign
from tests.kit.client import (
    COFFEE,
    RICH,
    Json,
    order,
    wait_until,
)
from user.routes import ERASERS, OWN

ALL = {PUBLIC, SIGNED_IN, OWN, ERASERS}
ALLOWED = {
    "customer": ALL,
    "other": ALL,
    "reader": ALL | {READERS},
    "shopkeeper": ALL | {SHOPKEEPERS},
    "operator": ALL | {READERS, OPERATORS},
    "machine": ALL | {READERS, OPERATORS},
}
"""What the guards let each caller call."""

REFUSED = {
    "anonymous": "UNAUTHENTICATED",
    "expired": "TOKEN_EXPIRED",
    "forged": "TOKEN_INVALID",
    "foreign": "TOKEN_INVALID",
    "changed": "TOKEN_INVALID",
    "garbage": "TOKEN_INVALID",
}
"""The error code of each caller whose token is of no use."""

ROTATED_KEYS = 3
"""So many keys have signed in turn after two rotations."""

ACTS_FOR_CUSTOMER = ("customer", "shopkeeper")
MAY_TRACE = ("reader", "operator", "machine")


# ---------------------------------------------------------------- the matrix


def test_each_route_of_the_table_names_who_may_call_it() -> None:
    assert {route.name for route in OF_API} == ACCESSES.keys()


def test_routes_that_ask_for_no_token_are_these() -> None:
    public = {name for name, each in ACCESSES.items() if each.access == PUBLIC}
    assert public == {
        *(f"product GET /api/v1/{path}" for path in ("categories", "products", "products/popular")),
        "product GET /api/v1/categories/{}",
        "product GET /api/v1/products/{}",
        "product GET /api/v1/products/{}/prices",
        "product GET /api/v1/products/{}/stock",
        "user POST /api/v1/users",
        *(f"user POST /api/v1/auth/{path}" for path in ("login", "refresh", "logout")),
    }


def test_a_route_for_signed_in_users_asks_whose_it_is() -> None:
    not_asking = {
        name
        for name, each in ACCESSES.items()
        if each.access in OWNED | {ERASERS} and not each.is_own
    }
    assert not_asking == {"coupon GET /api/v1/coupons/{}"}


@pytest.mark.parametrize("caller", REFUSED)
async def test_without_a_valid_token_public_routes_alone_answer(
    signed: Signed, caller: str
) -> None:
    wrong = {}
    for route in OF_API:
        answer = await signed.call(caller, route)
        code = error_of(answer)
        is_public = ACCESSES[route.name].access == PUBLIC
        is_refused = answer.status == 401 and code == REFUSED[caller]
        if is_public == is_refused and "/auth/" not in route.path:
            wrong[route.name] = (answer.status, code)
    assert wrong == {}


@pytest.mark.parametrize("caller", ["other", "reader", "operator", "machine", "shopkeeper"])
async def test_what_is_a_customers_is_not_shown_to_another_user(
    signed: Signed, caller: str
) -> None:
    wrong = {}
    for route in OF_API:
        found = ACCESSES[route.name]
        owned = {OWN} if caller == "shopkeeper" else OWNED
        if not (found.access in owned and found.is_own):
            continue
        answer = await signed.call(caller, route)
        if caller in MAY_TRACE and route.path.endswith("/trace"):
            assert answer.status == 200, answer
        elif answer.status == 404:
            unknown = await signed.call(caller, route, own=False)
            if without_ids(answer.body) != without_ids(unknown.body):
                wrong[route.name] = (answer.body, unknown.body)
        elif (answer.status, error_of(answer)) != (403, "FORBIDDEN") or not names_in_body(route):
            wrong[route.name] = (answer.status, answer.body)
    assert wrong == {}


def names_in_body(route: Route) -> bool:
    """Does a body say whose it is? Then the request itself is wrong, and no secret is asked for."""
    return "customerId" in (route.body or {})


@pytest.mark.parametrize("caller", ALLOWED)
async def test_guards_let_the_named_roles_through_alone(signed: Signed, caller: str) -> None:
    wrong = {}
    for route in OF_API:
        found = ACCESSES[route.name]
        answer = await signed.call(caller, route)
        is_refused = answer.status in (401, 403) and error_of(answer) != "BAD_CREDENTIALS"
        is_asked = found.access in OWNED and found.is_own  # see the test above
        acts = ("customer",) if found.access == OWN else ACTS_FOR_CUSTOMER
        if is_asked and caller not in acts:
            continue
        if is_refused == (found.access in ALLOWED[caller]) and "/auth/" not in route.path:
            wrong[route.name] = (answer.status, answer.body)
        if is_asked and route.method == "GET" and answer.status not in (200, 204):
            wrong[route.name] = (answer.status, answer.body)
    assert wrong == {}


def without_ids(body: Any) -> str:
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", json.dumps(body))


# ---------------------------------------------------------------- lists and cookies


async def test_lists_show_the_callers_own(signed: Signed) -> None:
    shop = signed.wire.shop
    lists = {"order": "orders", "payment": "payments", "coupon": "issued-coupons"}

    async def total(caller: str, service: str) -> int:
        headers = {"authorization": f"Bearer {signed.tokens[caller]}"}
        return int((await shop.get(service, f"/api/v1/{lists[service]}", **headers))["total"])

    assert {each: await total("other", each) for each in lists} == dict.fromkeys(lists, 0)
    assert all([await total("customer", each) for each in lists])
    guest = await shop.create_wallet(1000)
    await shop.buy(order(guest, (COFFEE, 1)))
    assert await total("shopkeeper", "order") > await total("customer", "order")


async def test_cookie_signs_get_requests_in_and_no_others(signed: Signed) -> None:
    cookie = {"cookie": f"access_token={signed.tokens['customer']}"}
    read = await signed.wire.send("payment", "GET", f"/api/v1/wallets/{RICH}", headers=cookie)
    assert read.status == 200
    path = f"/api/v1/wallets/{RICH}/charge"
    sent = await signed.wire.send("payment", "POST", path, b'{"amount": 1}', cookie)
    assert (sent.status, error_of(sent)) == (401, "UNAUTHENTICATED")


# ---------------------------------------------------------------- without the user service


async def test_signed_in_customers_order_follow_and_cancel_while_user_is_stopped(
    signed: Signed,
) -> None:
    shop = signed.wire.shop
    shop.access_token = signed.tokens["customer"]
    shop.command("stop", "user")
    try:
        with pytest.raises(aiohttp.ClientConnectionError):  # through an edge it is 503
            await log_in(shop, "customer", shop.environment["CUSTOMER_PASSWORD"])
        bought = await shop.buy(order(RICH, (COFFEE, 1)))
        assert bought["status"] == "COMPLETED"
        path = f"/api/v1/orders/{bought['orderId']}"
        followed = await shop.call("order", "GET", f"{path}/events")
        assert "event: OrderCompleted" in followed.body
        assert (await shop.cancel(bought["orderId"])).body["status"] == "CANCELLED"
        shop.command("kill", "order")  # another instance has the keys without user, too
        await shop.wait_until_ready("order")
        assert (await shop.get("order", path))["status"] == "CANCELLED"
    finally:
        shop.command("start", "user")


async def test_each_service_trusts_a_new_key_before_it_signs(signed: Signed) -> None:
    environment = signed.wire.shop.environment
    routes: Json = {"order": "orders", "payment": f"wallets/{RICH}", "coupon": "issued-coupons"}
    routes |= {"user": f"users/{RICH}"}

    async def there_are_two() -> bool:
        return await asyncio.to_thread(lambda: len(keys_of(environment)) >= 2)

    await wait_until(there_are_two, "another key is published", timeout_seconds=3 * KEY_SECONDS)
    for number in (0, -1):
        header = {"authorization": f"Bearer {sign(environment, number=number)}"}
        for service, path in routes.items():
            answer = await signed.wire.send(service, "GET", f"/api/v1/{path}", headers=header)
            assert answer.status == 200, (service, number, answer)


async def test_customers_who_order_and_refresh_are_never_refused_while_keys_rotate(
    signed: Signed,
) -> None:
    """Each of them through two rotations at least, with the newest token and the one before it."""
    began_with = len(keys_of(signed.wire.shop.environment))

    async def buy_and_refresh() -> set[str]:
        account = {"email": f"{uuid4()}@shop.test", "password": "seven red umbrellas"}
        made = await signed.wire.shop.send("user", "POST", "/api/v1/users", account | {"name": "K"})
        body = order(made["userId"], (COFFEE, 1))
        session = await signed.wire.shop.send("user", "POST", "/api/v1/auth/login", account)
        older, signed_by = session["accessToken"], set[str]()
        while len(signed_by) < ROTATED_KEYS:
            signed_by.add(key_id_of(session["accessToken"]))
            for token in (older, session["accessToken"]):
                header = {"authorization": f"Bearer {token}"}
                placed = await signed.wire.send_json(
                    "order", "POST", "/api/v1/orders", body, **header
                )
                assert placed.status == 202, placed
            older, refresh = session["accessToken"], {"refreshToken": session["refreshToken"]}
            session = await signed.wire.shop.send("user", "POST", "/api/v1/auth/refresh", refresh)
        return signed_by

    async with asyncio.timeout(12 * KEY_SECONDS):
        found = await asyncio.gather(*(buy_and_refresh() for _ in range(5)))
    assert all(len(each) >= ROTATED_KEYS for each in found)
    assert len(keys_of(signed.wire.shop.environment)) > began_with


def key_id_of(token: str) -> str:
    return str(jws.extract_compact(token.encode()).headers()["kid"])
