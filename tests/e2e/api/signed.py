"""The stack that asks for sign-in: the tokens of its callers, and what is whose."""

import re
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
from joserfc import jwt
from joserfc.jwk import OKPKey

from chassis.web.access import SIGNED_IN
from infra.api_documents import RouteAccess, accesses
from tests.e2e.api.raw_http import Wire
from tests.e2e.api.routes import ROUTES, UNKNOWN_ID, Route, valid
from tests.kit.client import (
    COFFEE,
    RICH,
    SERVICES,
    Response,
    Shop,
    order,
)
from user.routes import OWN

OF_API = [route for route in ROUTES if route.path.startswith("/api/")]
ACCESSES: dict[str, RouteAccess] = {
    f"{service} {each.method} {re.sub(r'{[^}]+}', '{}', each.path)}": each
    for service in SERVICES
    for each in accesses(service)
}

OWNED = {SIGNED_IN, OWN}
"""What is a user's; OWN: what no shopkeeper sees either."""


class Signed(msgspec.Struct, frozen=True):
    """The stack, a token of each caller, and what is the first customer's, by kind of path."""

    wire: Wire
    tokens: dict[str, str]
    things: dict[str, str]

    async def call(self, caller: str, route: Route, *, own: bool = True) -> Response:
        """`own`: about what is the first customer's; else about ids that nothing has."""
        ids = self.things if own else dict.fromkeys(self.things, UNKNOWN_ID)
        customer = self.things["wallets"]
        body = valid(route.body) if route.body else None
        if body and "customerId" in body:
            body["customerId"] = customer
        query = f"?customerId={customer}" if "customerId" in route.query else ""
        headers = {"idempotency_key": str(uuid4())} if route.key else {}
        if token := self.tokens.get(caller):
            headers["authorization"] = f"Bearer {token}"
        path = address(route, ids) + query
        return await self.wire.send_json(route.service, route.method, path, body, **headers)


def address(route: Route, ids: Mapping[str, str]) -> str:
    """The path with the id of the thing that it names. Raises KeyError for an unknown kind."""
    kind = route.path.split("/")[3]
    if "{}" not in route.path or ACCESSES[route.name].access not in OWNED:
        return route.address
    return route.path.replace("{}", ids[kind], 1).replace("{}", COFFEE)


async def make_tokens(shop: Shop) -> dict[str, str]:
    environment = shop.environment
    body = {"email": "reader@shop.test", "password": "nine tall towers", "name": "Reader"}
    await shop.send("user", "POST", "/api/v1/admin/users", body | {"roles": ["reader"]})
    await shop.send("user", "POST", "/api/v1/users", body | {"email": "other@shop.test"})
    passwords = {
        "reader": body["password"],
        "other": body["password"],
        **{name: environment[f"{name.upper()}_PASSWORD"] for name in ("customer", "operator")},
        "shopkeeper": environment["SHOPKEEPER_PASSWORD"],
    }
    found = {name: await log_in(shop, name, word) for name, word in passwords.items()}
    forger = OKPKey.generate_key("Ed25519")
    return found | {
        "machine": environment["OPS_TOKEN"],
        "expired": sign(environment, exp=int(time.time()) - 60),
        "foreign": sign(environment, iss="another-shop"),
        "forged": sign(environment, lambda _: forger),
        "changed": found["customer"][:-4] + "AAAA",
        "garbage": "garbage",
    }


async def log_in(shop: Shop, name: str, password: str) -> str:
    body = {"email": f"{name}@shop.test", "password": password}
    return str((await shop.send("user", "POST", "/api/v1/auth/login", body))["accessToken"])


async def make_things(shop: Shop) -> dict[str, str]:
    """By the first segment of their paths."""
    coupon = await shop.create_coupon(RICH)
    path = f"/api/v1/issued-coupons/{coupon}"
    bought = await shop.buy(order(RICH, (COFFEE, 1)))
    await shop.wait_for_events(bought["orderId"], "OrderCompleted")
    [payment] = await shop.payments(bought["orderId"])
    return {
        "orders": bought["orderId"],
        "payments": payment["paymentId"],
        "issued-coupons": coupon,
        "coupons": (await shop.get("coupon", path))["couponId"],
        **dict.fromkeys(("carts", "wallets", "users"), RICH),
    }


def keys_of(environment: Mapping[str, str]) -> list[tuple[str, OKPKey]]:
    """The signing keys of the user service, the oldest first."""
    file = Path(environment["STATE_DIR"], "db", "user.db")
    query = "SELECT key_id, private_key, public_key FROM signing_keys ORDER BY created_at"
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        rows = database.execute(query).fetchall()
    return [
        (kid, OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "d": d, "x": x}))
        for kid, d, x in rows
    ]


def sign(
    environment: Mapping[str, str],
    key: Callable[[OKPKey], OKPKey] = lambda real: real,
    number: int = 0,
    **claims: Any,
) -> str:
    """A token of the first customer, as the user service signs it but for these claims."""
    kid, real = keys_of(environment)[number]
    valid_ones = {"iss": "saga", "aud": "saga", "sub": RICH, "roles": ["customer"]}
    body = valid_ones | {"exp": int(time.time()) + 600} | claims
    return jwt.encode({"alg": "Ed25519", "kid": kid}, body, key(real), algorithms=["Ed25519"])


def error_of(answer: Response) -> str | None:
    return answer.body.get("error") if isinstance(answer.body, dict) else None
