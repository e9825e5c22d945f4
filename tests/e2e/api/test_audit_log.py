"""What the audit log has of requests, with AUTH=on and without."""

import asyncio
import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from litestar.testing import AsyncTestClient

from chassis.actions import Action
from order.app import create_app
from tests.e2e.api.routes import UNKNOWN_ID
from tests.e2e.api.signed import ACCESSES, OF_API, Signed, error_of
from tests.kit.client import COFFEE, RICH, ROOT, SERVICES, Json, order, wait_until
from tests.kit.settings import settings_of

BY_OTHER_MEANS = {"SEED", "TOKEN_REFRESH", "WALLET_OPEN", "USER_ERASE"}
BY_OTHER_MEANS |= {"ADDRESS_ADD", "ADDRESS_CHANGE", "ADDRESS_DELETE"}
"""Actions that the table's request does not do for another: it changes nothing, may not, or erases
the customer of the other tests."""


async def entries(signed: Signed, service: str, **query: str) -> list[Json]:
    asked = "".join(f"&{name}={value}" for name, value in query.items())
    headers = {"authorization": f"Bearer {signed.tokens['reader']}"}
    path = f"/api/v1/ops/audit-log?size=100{asked}"
    return list((await signed.wire.shop.get(service, path, **headers))["items"])


async def found(signed: Signed, service: str, **expected: Any) -> Json:
    """The newest entry with these values. A refusal has one within a second or two."""
    match: list[Json] = []

    async def is_there() -> bool:
        listed = await entries(signed, service, action=expected["action"])
        match[:] = [each for each in listed if expected.items() <= each.items()]
        return bool(match)

    await wait_until(is_there, f"the audit log of {service} has {expected}")
    return match[0]


def test_names_of_actions_are_fixed() -> None:
    names = {each.action.name for each in ACCESSES.values() if each.action}
    assert names == {
        *("ORDER_PLACE", "ORDER_CANCEL", "HOT_PRODUCT_ENABLE", "HOT_PRODUCT_DISABLE"),
        *("CART_ADD", "CART_CHANGE", "CART_REMOVE", "CART_EMPTY", "CART_CHECKOUT"),
        *("PRODUCT_CREATE", "PRODUCT_CHANGE", "PRODUCT_DISCONTINUE", "STOCK_BOOK"),
        *("CATEGORY_CREATE", "CATEGORY_RENAME", "WALLET_OPEN", "WALLET_CHARGE"),
        *("COUPON_DEFINE", "COUPON_CHANGE", "COUPON_ISSUE", "COUPON_REVOKE"),
        *("SIGN_UP", "SIGN_IN", "SIGN_OUT", "TOKEN_REFRESH", "PASSWORD_CHANGE"),
        *("PROFILE_CHANGE", "ACCOUNT_ADD", "USER_ERASE"),
        *("ADDRESS_ADD", "ADDRESS_CHANGE", "ADDRESS_DELETE"),
        *("DEAD_LETTER_REDRIVE", "DEAD_LETTER_DISMISS", "RECOVERY_BOOK", "SEED"),
    }


async def test_each_action_of_a_route_is_recorded_when_it_is_done_for_a_customer(
    signed: Signed,
) -> None:
    """Each route with an action, by who may call it; some of them are refused by a rule."""
    cart = {"productId": COFFEE, "quantity": 1}
    customer = {"authorization": f"Bearer {signed.tokens['customer']}"}
    path = f"/api/v1/carts/{signed.things['carts']}/items"
    wanted: set[tuple[str, str]] = set()
    for route in OF_API:
        action: Action | None = ACCESSES[route.name].action
        if action is None or action.name in BY_OTHER_MEANS:
            continue
        if action.name.startswith("CART_"):
            await signed.wire.send_json("order", "POST", path, cart, **customer)
        is_operators = ACCESSES[route.name].access.has_machines
        await signed.call("operator" if is_operators else "shopkeeper", route)
        wanted.add((route.service, action.name))

    missing = set(wanted)

    async def all_are_there() -> bool:
        for service in SERVICES:
            missing.difference_update(
                (service, each["action"]) for each in await entries(signed, service)
            )
        return not missing

    with suppress(AssertionError):  # the one below names what is missing
        await wait_until(all_are_there, "each action has an entry")
    assert missing == set()
    guest = {"customerId": str(uuid4())}
    shopkeeper = {"authorization": f"Bearer {signed.tokens['shopkeeper']}"}
    await signed.wire.send_json("payment", "POST", "/api/v1/wallets", guest, **shopkeeper)
    assert await found(signed, "payment", action="WALLET_OPEN", target=guest["customerId"])
    assert await found(signed, "product", action="SEED", outcome="DONE")


async def test_shopkeepers_order_for_a_customer_is_recorded_and_a_customers_own_is_not(
    signed: Signed,
) -> None:
    placed: dict[str, str] = {}
    for caller in ("customer", "shopkeeper"):
        answer = await signed.wire.send_json(
            "order",
            "POST",
            "/api/v1/orders",
            order(RICH, (COFFEE, 1)),
            authorization=f"Bearer {signed.tokens[caller]}",
        )
        assert answer.status == 202, answer
        placed[caller] = answer.body["orderId"]
    entry = await found(signed, "order", action="ORDER_PLACE", target=placed["shopkeeper"])
    assert entry["onBehalfOf"] == RICH
    assert (entry["outcome"], entry["roles"]) == ("DONE", "shopkeeper")
    assert entry["subject"] not in (None, RICH)
    assert entry["clientAddress"] == "127.0.0.1"
    everything = json.dumps([await entries(signed, service) for service in SERVICES])
    assert placed["customer"] not in everything


async def test_what_is_forbidden_is_recorded_also_where_the_answer_hides_it(
    signed: Signed,
) -> None:
    token = {"authorization": f"Bearer {signed.tokens['other']}"}
    path = f"/api/v1/carts/{RICH}"
    assert (await signed.wire.send_json("order", "DELETE", path, None, **token)).status == 404
    hot = f"/api/v1/admin/products/{COFFEE}/hot"
    assert (await signed.wire.send_json("order", "POST", hot, None, **token)).status == 403
    refused = {"outcome": "REFUSED", "code": "FORBIDDEN", "roles": "customer"}
    emptied = await found(signed, "order", action="CART_EMPTY", target=RICH, **refused)
    enabled = await found(signed, "order", action="HOT_PRODUCT_ENABLE", target=COFFEE, **refused)
    assert emptied["subject"] == enabled["subject"] != RICH


async def test_sessions_are_recorded_from_sign_up_to_a_stolen_token(signed: Signed) -> None:
    async def call(path: str, body: Json) -> Any:
        return await signed.wire.send_json("user", "POST", f"/api/v1/{path}", body)

    email, password = f"{uuid4()}@shop.test", "fourteen brown bears"
    made = await call("users", {"email": email, "password": password, "name": "Bear"})
    user = made.body["userId"]
    wrong = await call("auth/login", {"email": email, "password": "fifteen brown bears"})
    assert error_of(wrong) == "BAD_CREDENTIALS"
    unknown = f"{uuid4()}@shop.test"
    await call("auth/login", {"email": unknown, "password": password})
    tokens = [(await call("auth/login", {"email": email, "password": password})).body]
    for _ in range(2):
        token = {"refreshToken": tokens[-1]["refreshToken"]}
        tokens.append((await call("auth/refresh", token)).body)
    reused = await call("auth/refresh", {"refreshToken": tokens[0]["refreshToken"]})
    assert error_of(reused) == "TOKEN_REUSED"
    session = tokens[0]["refreshToken"].partition(".")[0]
    again = (await call("auth/login", {"email": email, "password": password})).body
    await call("auth/logout", {"refreshToken": again["refreshToken"]})

    await found(signed, "user", action="SIGN_UP", outcome="DONE", subject=user, roles="customer")
    signed_in = await found(signed, "user", action="SIGN_IN", outcome="DONE", subject=user)
    assert signed_in["roles"] == "customer"  # known by the command alone
    failed = {"action": "SIGN_IN", "outcome": "REFUSED", "code": "BAD_CREDENTIALS"}
    await found(signed, "user", **failed, subject=None, target=user)
    await found(signed, "user", **failed, subject=None, target=None)
    await found(
        signed,
        "user",
        action="TOKEN_REFRESH",
        outcome="REFUSED",
        code="TOKEN_REUSED",
        subject=user,
        target=session,
    )
    await found(signed, "user", action="SIGN_OUT", outcome="DONE", subject=user)
    refreshes = await entries(signed, "user", action="TOKEN_REFRESH")
    assert len([each for each in refreshes if each["target"] == session]) == 1
    log = json.dumps(await entries(signed, "user"))
    secrets = (email, unknown, password, tokens[0]["refreshToken"], tokens[0]["accessToken"])
    assert [each for each in secrets if each in log] == []


async def test_command_prints_all_services_in_order_of_time(signed: Signed) -> None:
    trace = f"00-{uuid4().hex}-00f067aa0ba902b7-01"
    headers = {"authorization": f"Bearer {signed.tokens['operator']}", "traceparent": trace}
    for service in ("order", "coupon"):
        path = f"/api/v1/ops/dead-letters/{10**6}/redrive"
        await signed.wire.send_json(service, "POST", path, None, **headers)
        refused = {"outcome": "REFUSED", "code": "DEAD_LETTER_NOT_FOUND", "traceparent": trace}
        await found(signed, service, action="DEAD_LETTER_REDRIVE", **refused)

    def run(*words: str) -> str:
        command = [sys.executable, "-m", "ops", "audit-log", *words]
        return subprocess.run(
            command,
            cwd=ROOT,
            env={**signed.wire.shop.environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout

    printed = await asyncio.to_thread(run, "--action", "DEAD_LETTER_REDRIVE")
    rows = [line.split() for line in printed.splitlines() if f"letter {10**6}" in line]
    assert {row[1] for row in rows} >= {"order", "coupon"}
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    nothing = await asyncio.to_thread(run, "--service", "order", "--subject", UNKNOWN_ID)
    assert nothing == "The audit log has no such entry.\n"


@pytest.mark.parametrize("own", [True, False])
async def test_without_sign_in_operators_commands_are_recorded_and_orders_are_not(
    tmp_path: Path, own: bool
) -> None:
    environment = {"STATE_DIR": str(tmp_path), "NATS_URL": "nats://127.0.0.1:1"}
    app = create_app(settings_of("order", environment))
    async with AsyncTestClient(app) as client:
        if own:
            await client.post("/api/v1/orders", json=order(RICH, (COFFEE, 1)))
            await client.delete(f"/api/v1/carts/{RICH}")
        else:
            await client.post(f"/api/v1/admin/products/{COFFEE}/hot")
        await app.state["service"].audit_log.close()
        listed = (await client.get("/api/v1/ops/audit-log")).json()["items"]
    recorded = [(each["action"], each["subject"], each["roles"], each["code"]) for each in listed]
    assert recorded == ([] if own else [("HOT_PRODUCT_ENABLE", None, "", "PRODUCT_NOT_FOUND")])
