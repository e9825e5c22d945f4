"""Errors over HTTP, translated here and nowhere else.

Every error leaves as `{"error": CODE, "message": sentence, "details": null or object}`, the
framework's own and crashes included. What can't be used in a request is named in
`details.problems`: `[{"key": "items[0].quantity", "message": "Expected `int` >= 1"}]`.
"""

import logging
import re
from collections.abc import Collection, Mapping
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.enums import MediaType
from litestar.exceptions import HTTPException, ValidationException
from litestar.types.asgi_types import HTTPResponseBodyEvent, HTTPResponseStartEvent

from saga.errors import Invalid, Outage, RetryLater, SagaError, Unauthorized

log = logging.getLogger(__name__)


class Error(msgspec.Struct):
    """The body of every error."""

    error: str
    message: str
    details: dict[str, Any] | None = None


OUTAGE = RetryLater("something that is needed here does not answer; send this again in a second")
"""What a client learns of an outage: its reason is for the log."""

_CODES = {
    400: "VALIDATION_ERROR",
    401: "UNAUTHORIZED",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "BODY_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
}
_MESSAGES = {
    404: "there is no such route; see /schema for those there are",
    405: "this route does not take this method; see /schema",
}
_CRASH = Error(error="INTERNAL_ERROR", message="something broke here; try again later")
_PLACE = re.compile(r"(.*) - at `\$\.?(.*)`", re.DOTALL)
_MISSING = re.compile(r"Missing required (header|query) parameter '(.*?)' for path .*", re.DOTALL)
_FIELD = re.compile(r"Object (?:missing required|contains unknown) field `(.*)`", re.DOTALL)


def to_response(request: Request[Any, Any, Any], error: Exception) -> Response[Error]:
    """The answer to a request that raised this. A crash and an outage are logged."""
    match error:
        case Outage():
            log.warning("not available", extra=_about(request, error))
            status, headers, body = _translate(OUTAGE)
        case SagaError():
            status, headers, body = _translate(error)
        case HTTPException() if error.status_code < 500:
            status, headers = error.status_code, dict(error.headers or {})
            if methods := headers.pop("allow", None):
                headers["Allow"] = allowed(methods.split(", "))
            body = _of_framework(request, error)
        case _:
            log.error("a request failed", exc_info=error, extra=_about(request, error))
            status, headers, body = 500, {}, _CRASH
    return Response(body, status_code=status, headers=headers, media_type=MediaType.JSON)


def ready_made(error: SagaError) -> tuple[HTTPResponseStartEvent, HTTPResponseBodyEvent]:
    """The same answer as ASGI messages, for an error that is sent thousands of times a second."""
    status, headers, body = _translate(error)
    content = msgspec.json.encode(body)
    fields = {"content-type": "application/json", "content-length": str(len(content)), **headers}
    start: HTTPResponseStartEvent = {
        "type": "http.response.start",
        "status": status,
        "headers": [(name.lower().encode(), value.encode()) for name, value in fields.items()],
    }
    whole: HTTPResponseBodyEvent = {
        "type": "http.response.body",
        "body": content,
        "more_body": False,
    }
    return start, whole


def invalid(key: str, message: str, source: str) -> Invalid:
    """The error for one field or parameter. `source`: "body", "query" or "header"."""
    return _invalid({"message": message, "key": key, "source": source})


def invalid_body(error: msgspec.ValidationError) -> Invalid:
    """The error for a body that is not as its schema says, with the path of the field."""
    placed = _PLACE.fullmatch(str(error))
    message, key = placed.groups() if placed else (str(error), "")
    if field := _FIELD.fullmatch(message):
        key = f"{key}.{field[1]}" if key else field[1]
    return _invalid({"message": message, "source": "body"} | ({"key": key} if key else {}))


def allowed(methods: Collection[str]) -> str:
    """The Allow header of a path with these methods. HEAD is answered where GET is."""
    with_head = {*methods, "HEAD"} if "GET" in methods else {*methods}
    return ", ".join(sorted(with_head))


def _translate(error: SagaError) -> tuple[int, dict[str, str], Error]:
    headers = {}
    if isinstance(error, RetryLater):
        headers["Retry-After"] = str(error.retry_after_seconds)
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    details = None if error.details is None else dict(error.details)
    body = Error(error=error.code, message=error.message, details=details)
    return error.status_code, headers, body


def _of_framework(request: Request[Any, Any, Any], error: HTTPException) -> Error:
    if isinstance(error, ValidationException) and isinstance(error.extra, list):
        return _translate(_invalid(*(_named_as_sent(request, each) for each in error.extra)))[2]
    if missing := _MISSING.fullmatch(error.detail):
        source, key = missing.groups()
        return _translate(invalid(key, "is missing; this route needs it", source))[2]
    code = _CODES.get(error.status_code, "INVALID_REQUEST")
    message = _MESSAGES.get(error.status_code) or error.detail or code
    if error.status_code == 413:
        limit = request.route_handler.resolve_request_max_body_size()
        message = f"the body is too large; send at most {limit} bytes"
    return Error(error=code, message=message)


def _invalid(*problems: Mapping[str, str]) -> Invalid:
    message = "; ".join(f"{each.get('key', 'the body')}: {each['message']}" for each in problems)
    return Invalid(message, details={"problems": problems})


def _named_as_sent(
    request: Request[Any, Any, Any], problem: Mapping[str, str]
) -> Mapping[str, str]:
    """The framework names a parameter as Python does; the client knows it by its own name."""
    declared = request.route_handler.parsed_fn_signature.parameters.get(problem.get("key", ""))
    sent_as = getattr(declared and declared.kwarg_definition, "name", None)
    return {**problem, "key": sent_as} if sent_as else problem


def _about(request: Request[Any, Any, Any], error: Exception) -> dict[str, str]:
    return {"path": request.url.path, "error": repr(error)}
