"""The headers of responses, in the OpenAPI document."""

from collections.abc import Iterator, Mapping
from typing import Any

from litestar.datastructures import ResponseHeader
from litestar.handlers import HTTPRouteHandler

_TEXT = {"type": "string"}
_KNOWN: dict[str, tuple[str, Mapping[str, Any]]] = {
    "Content-Language": ("The language of the message: `en`, or one that is preferred.", _TEXT),
    "Idempotency-Replayed": (
        "`true`: the request was executed before, and this is its first answer again.",
        {"type": "string", "enum": ["true"]},
    ),
    "Location": ("The path of what the request has created.", _TEXT),
    "Preference-Applied": ("The wait that was applied, such as `wait=30`.", _TEXT),
    "Retry-After": (
        "Seconds after which to send the request again.",
        {"type": "integer", "minimum": 1},
    ),
    "Set-Cookie": ("For browsers: the access token, which scripts can't read.", _TEXT),
    "Vary": ("The message depends on `Accept-Language`.", _TEXT),
    "WWW-Authenticate": ("How to authenticate: `Bearer`.", _TEXT),
}
LOCATION = ResponseHeader(name="Location", documentation_only=True)
SET_COOKIE = ResponseHeader(name="Set-Cookie", documentation_only=True)
REPLAYED = ResponseHeader(name="Idempotency-Replayed", documentation_only=True)
"""For routes whose success has the header although the rules below do not give it to them."""

_OF_ERRORS = ("Content-Language", "Vary")
_ALWAYS = {"401": "WWW-Authenticate", "429": "Retry-After", "503": "Retry-After"}
_ERROR = "'#/components/schemas/Error'"
_ON_PARAMETER = {"Idempotency-Key": "Idempotency-Replayed", "Prefer": "Preference-Applied"}
"""Successful responses may have the header where the request may leave out the parameter."""


def describe(operation: dict[str, Any], handler: HTTPRouteHandler) -> None:
    """Name each response's headers. Those that the route declares are in all its successes."""
    successes = dict(sorted(_of_successes(operation, handler)))
    for status, response in operation["responses"].items():
        response.pop("headers", None)
        if status < "300" and successes:
            response["headers"] = successes
        if _ERROR in str(response):
            always = filter(None, (*_OF_ERRORS, _ALWAYS.get(status)))
            response["headers"] = {name: _header(name) | {"required": True} for name in always}


def _of_successes(
    operation: Mapping[str, Any], handler: HTTPRouteHandler
) -> Iterator[tuple[str, dict[str, Any]]]:
    for header in handler.resolve_response_headers():
        yield header.name, _header(header.name, header.description)
    if "201" in operation["responses"]:
        yield "Location", _header("Location")
    for parameter in operation.get("parameters", ()):
        name = _ON_PARAMETER.get(parameter["name"])
        if name and not parameter["required"]:
            yield name, _header(name)


def _header(name: str, description: str | None = None) -> dict[str, Any]:
    known, schema = _KNOWN.get(name, (name, _TEXT))
    return {"description": description or known, "schema": schema}
