"""Each service's OpenAPI document, and the pages of their error codes and of who may call what."""

import asyncio
import json
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib import import_module
from tempfile import TemporaryDirectory
from typing import NamedTuple

from litestar import Litestar

from chassis.actions import Action
from chassis.settings import load
from chassis.web import error_codes
from chassis.web.access import SIGNED_IN, Access, access_of, handlers
from chassis.web.actions import action_of
from chassis.web.error_codes import ErrorCode, codes_of
from events.participants import PARTICIPANTS

_ERRORS = """\
# Errors

Written by `make documents` from the services' `errors.py`; don't edit it.

Every error of every service is `{"error": CODE, "message": sentence, "details": null or object}`.
The code is stable and meant for programs: it is an enum, `ErrorCode`, in each service's OpenAPI
document (`docs/openapi`, `/schema`), which also names the codes of each route. A message is for
people, and may change. An order that was accepted and then fails is no error: it is FAILED, and its
`failReason` has the cause.

| code | status | when | what to do | services |
|---|---|---|---|---|
"""

_ACCESS = """\
# Who may call what

Written by `make documents` from the guards and actions beside the routes' handlers; don't edit it.

This holds with `AUTH=on`. With `AUTH=off` all callers are trusted, and `OPS_TOKEN`, where it is
set, is required where operators are named. What is another customer's is answered as if it was not
there (404); a body that names another customer with 403. A shopkeeper may act for any customer.
Operators and readers may read the trace of any order. A machine that sends `OPS_TOKEN` is an
operator. What attackers may try, and the tests: [threats.md](threats.md).

The last column names what the audit log has of a route (`GET /api/v1/ops/audit-log`), and of which
uses. "For others": what is done for another user, and what is forbidden; of `TOKEN_REFRESH` the use
of a token that was used before.
"""


def openapi() -> dict[str, str]:
    """The files, with what they should hold."""
    return {
        f"docs/openapi/{service}.json": asyncio.run(_document(service)) + "\n"
        for service in PARTICIPANTS
    }


async def _document(service: str) -> str:
    async with _built(service) as app:
        document = app.openapi_schema.to_schema()
    return json.dumps(document, indent=1, ensure_ascii=False)


@asynccontextmanager
async def _built(service: str) -> AsyncIterator[Litestar]:
    """The service's application, which is built and not started."""
    with TemporaryDirectory() as folder:
        nowhere = {"STATE_DIR": folder, "DATA_PLATFORM_URL": "http://127.0.0.1:1"}
        kind = import_module(f"{service}.settings").Settings
        settings = load(kind, service, PARTICIPANTS[service], nowhere)
        app: Litestar = import_module(f"{service}.app").create_app(settings)
        yield app
        await app.state["service"].database.close()


class RouteAccess(NamedTuple):
    """Who may call a route. `is_own`: of signed-in users the one alone whose data it is about."""

    method: str
    path: str
    access: Access
    is_own: bool
    action: Action | None

    @property
    def callers(self) -> str:
        if self.access != SIGNED_IN:
            return self.access.name
        return "the user whose it is, and shopkeepers" if self.is_own else self.access.name

    @property
    def recorded(self) -> str:
        if self.action is None:
            return ""
        return f"`{self.action.name}`" + (" for others" if self.action.is_everyday else "")


def accesses(service: str) -> list[RouteAccess]:
    """Each route of a service below /api, in the order of their paths."""
    return sorted(asyncio.run(_accesses(service)), key=lambda each: (each.path, each.method))


async def _accesses(service: str) -> list[RouteAccess]:
    async with _built(service) as app:
        return [
            RouteAccess(
                method=method,
                path=re.sub(r":\w+}", "}", path),
                access=access_of(handler),
                is_own="caller" in handler.parsed_fn_signature.parameters,
                action=action_of(handler),
            )
            for path, handler in handlers(app)
            for method in handler.http_methods
        ]


def access() -> str:
    """The page of who may call which route."""
    return _ACCESS + "".join(
        f"\n## {service}\n\n| route | who | audit log |\n|---|---|---|\n"
        + "".join(
            f"| `{each.method} {each.path}` | {each.callers} | {each.recorded} |\n"
            for each in accesses(service)
        )
        for service in PARTICIPANTS
    )


def errors() -> str:
    """The page of the error codes."""
    return _ERRORS + "\n".join(_rows()) + "\n"


def _rows() -> Iterator[str]:
    owners: dict[ErrorCode, list[str]] = defaultdict(list)
    for each in codes_of(error_codes):
        owners[each].append("all")
    for service in PARTICIPANTS:
        for each in codes_of(import_module(f"{service}.app").errors):
            if owners[each] != ["all"]:
                owners[each].append(service)
    for each in sorted(owners):
        names = ", ".join(owners[each])
        yield f"| `{each.code}` | {each.status} | {each.when} | {each.action} | {names} |"
