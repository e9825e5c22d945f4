"""The simulated data platform, with faults on request: `python -m infra.simulators.platform`.

What a platform offers:

    POST /v1/orders                    Idempotency-Key; a JSON object. 202: accepted. The same key
                                       again is accepted again, and counted
                                       422 KEY_REUSED: another body under the same key
    GET  /v1/statement?after=&limit=   what it has accepted, each key once, in order

What only the simulator offers:

    POST, GET, DELETE /control/behaviours    the faults that it injects: see `Rule`
"""

import asyncio
from collections.abc import AsyncIterator
from enum import StrEnum
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

import msgspec
from aiohttp import web

from infra.simulators import http
from infra.simulators.platform_store import PlatformStore

PORT = 8191
MAX_PAGE_SIZE = 1000
MAX_BODY_BYTES = 4 * 1024 * 1024
MAX_RULES = 1_000
MAX_RULE_SECONDS = 600.0


class Does(StrEnum):
    """What it does with an order.

    ACCEPT              accepted
    DROP                the connection is cut; nothing has happened
    ERROR               500; nothing has happened
    OVERLOADED          429 with Retry-After: `seconds`; nothing has happened
    REFUSE              400: refused
    HANG                no answer for `seconds`, then 504; nothing has happened
    SLOW                accepted, after `seconds`
    ACCEPT_THEN_HANG    accepted at once, and no answer for `seconds`
    ACCEPT_THEN_ERROR   accepted, and 500
    ACCEPT_THEN_DROP    accepted, and the connection is cut
    """

    ACCEPT = "ACCEPT"
    DROP = "DROP"
    ERROR = "ERROR"
    OVERLOADED = "OVERLOADED"
    REFUSE = "REFUSE"
    HANG = "HANG"
    SLOW = "SLOW"
    ACCEPT_THEN_HANG = "ACCEPT_THEN_HANG"
    ACCEPT_THEN_ERROR = "ACCEPT_THEN_ERROR"
    ACCEPT_THEN_DROP = "ACCEPT_THEN_DROP"


_WAITS_BEFORE = frozenset({Does.HANG, Does.SLOW})


class Rule(msgspec.Struct, forbid_unknown_fields=True):
    """`times`: how often it applies, None: until it is deleted.

    `key`: the order that it applies to, None: all. `seconds`: how long slow ones take.
    """

    does: Does
    times: Annotated[int, msgspec.Meta(ge=1)] | None = None
    key: str | None = None
    seconds: Annotated[float, msgspec.Meta(ge=0, le=MAX_RULE_SECONDS)] = 1.0


class Platform:
    def __init__(self, store: PlatformStore) -> None:
        self.store = store
        self.rules: list[Rule] = []

    async def order(self, request: web.Request) -> web.Response:
        key, body = http.idempotency_key(request), await request.read()
        http.read(body, dict[str, Any])
        rule = self._next(key)
        if rule.does in _WAITS_BEFORE:
            await asyncio.sleep(rule.seconds)
        _fail_before(rule, request)
        if not self.store.accept(key, body):
            sentence = "this key was used for another body"
            raise http.refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "KEY_REUSED", sentence)
        if rule.does is Does.ACCEPT_THEN_HANG:
            await asyncio.sleep(rule.seconds)
        _fail_after(rule, request)
        return http.json_answer({"key": key, "status": "ACCEPTED"}, HTTPStatus.ACCEPTED)

    async def statement(self, request: web.Request) -> web.Response:
        after = http.number(request, "after", 0)
        limit = min(http.number(request, "limit", MAX_PAGE_SIZE), MAX_PAGE_SIZE)
        return http.json_answer({"items": self.store.statement(after, limit)})

    async def add_behaviour(self, request: web.Request) -> web.Response:
        rule = http.read(await request.read(), Rule)
        if len(self.rules) >= MAX_RULES:
            sentence = f"there are {MAX_RULES} rules already; DELETE them first"
            raise http.refusal(HTTPStatus.BAD_REQUEST, "VALIDATION_ERROR", sentence)
        self.rules.append(rule)
        return http.json_answer({"rules": self.rules})

    async def list_behaviours(self, _: web.Request) -> web.Response:
        return http.json_answer({"rules": self.rules})

    async def clear_behaviours(self, _: web.Request) -> web.Response:
        self.rules.clear()
        return http.json_answer({"rules": []})

    def _next(self, key: str) -> Rule:
        """The oldest rule that applies now; one with `times` is counted down."""
        for rule in self.rules:
            if rule.key in (None, key):
                if rule.times is not None:
                    rule.times -= 1
                    if rule.times == 0:
                        self.rules.remove(rule)
                return rule
        return Rule(does=Does.ACCEPT)


def _fail_before(rule: Rule, request: web.Request) -> None:
    """Faults after which nothing has happened."""
    match rule.does:
        case Does.DROP:
            _cut(request)
        case Does.ERROR:
            raise http.refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "ERROR", "nothing has happened")
        case Does.HANG:
            raise http.refusal(HTTPStatus.GATEWAY_TIMEOUT, "TIMEOUT", "nothing has happened")
        case Does.REFUSE:
            raise http.refusal(HTTPStatus.BAD_REQUEST, "REFUSED", "no such order is wanted")
        case Does.OVERLOADED:
            wait = f"{rule.seconds:.0f}"
            busy = HTTPStatus.TOO_MANY_REQUESTS
            raise http.refusal(busy, "OVERLOADED", "too much at once", Retry_After=wait)


def _fail_after(rule: Rule, request: web.Request) -> None:
    """Faults after which everything has happened, without an answer."""
    if rule.does is Does.ACCEPT_THEN_DROP:
        _cut(request)
    if rule.does is Does.ACCEPT_THEN_ERROR:
        raise http.refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "ERROR", "something broke")


def _cut(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
    raise http.refusal(HTTPStatus.SERVICE_UNAVAILABLE, "GONE", "the connection is cut")


def build(file: Path) -> web.Application:
    """The application, with its store in this file."""
    platform = Platform(PlatformStore(file))
    app = web.Application(middlewares=[http.errors_as_json], client_max_size=MAX_BODY_BYTES)
    app.add_routes(
        [
            web.post("/v1/orders", platform.order),
            web.get("/v1/statement", platform.statement),
            web.post("/control/behaviours", platform.add_behaviour),
            web.get("/control/behaviours", platform.list_behaviours),
            web.delete("/control/behaviours", platform.clear_behaviours),
            web.get("/health", http.healthy),
        ]
    )

    async def life(_: web.Application) -> AsyncIterator[None]:
        yield
        platform.store.close()

    app.cleanup_ctx.append(life)
    return app


if __name__ == "__main__":
    http.run("platform", PORT, build)
