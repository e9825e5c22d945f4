"""Each service's OpenAPI document, and the page of the error codes of all of them."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterator
from importlib import import_module
from tempfile import TemporaryDirectory

from chassis.settings import load
from chassis.web import error_codes
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


def openapi() -> dict[str, str]:
    """The files, with what they should hold."""
    return {
        f"docs/openapi/{service}.json": asyncio.run(_document(service)) + "\n"
        for service in PARTICIPANTS
    }


async def _document(service: str) -> str:
    """Of an application that is built and not started."""
    with TemporaryDirectory() as folder:
        nowhere = {"STATE_DIR": folder, "DATA_PLATFORM_URL": "http://127.0.0.1:1"}
        kind = import_module(f"{service}.settings").Settings
        settings = load(kind, service, PARTICIPANTS[service], nowhere)
        app = import_module(f"{service}.app").create_app(settings)
        document = app.openapi_schema.to_schema()
        await app.state["service"].database.close()
    return json.dumps(document, indent=1, ensure_ascii=False)


def errors() -> str:
    """The page of the error codes."""
    return _ERRORS + "\n".join(_rows()) + "\n"


def _rows() -> Iterator[str]:
    owners: dict[ErrorCode, list[str]] = defaultdict(list)
    for each in codes_of(error_codes):
        owners[each].append("all")
    for service in PARTICIPANTS:
        own = getattr(import_module(f"{service}.app"), "errors", None)  # a new service has none
        for each in codes_of(own) if own else ():
            owners[each].append(service)
    for each in sorted(owners):
        names = ", ".join(owners[each])
        yield f"| `{each.code}` | {each.status} | {each.when} | {each.action} | {names} |"
