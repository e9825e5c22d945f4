"""Errors over HTTP, translated here and nowhere else.

Every error leaves as `{"error": CODE, "message": sentence, "details": null or object}`, the
framework's own and crashes included. The sentence is in the language that the client prefers. What
can't be used in a request is named in `details.problems`:
`[{"key": "items[0].quantity", "message": "must be a whole number of at least 1"}]`.
"""

import logging
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
from litestar import Request, Response
from litestar.enums import MediaType
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import Scope
from litestar.types.asgi_types import HTTPResponseBodyEvent, HTTPResponseStartEvent

from chassis.web.languages import ENGLISH, Languages, Translation, of_chassis
from chassis.web.problems import plain
from saga.errors import Invalid, Outage, RetryLater, SagaError, TooManyRequests, Unauthorized

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
    401: "UNAUTHENTICATED",
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
            answer = _translate(OUTAGE)
        case SagaError():
            answer = _translate(error)
        case HTTPException() if error.status_code < 500:
            answer = _of_framework(request, error)
        case _:
            log.error("a request failed", exc_info=error, extra=_about(request, error))
            answer = _Answer(500, {}, _CRASH)
    languages = request.app.state.get("languages") or of_chassis()
    status, headers, body = _in_language(answer, languages, languages.preferred(request.scope))
    return Response(body, status_code=status, headers=headers, media_type=MediaType.JSON)


Messages = tuple[HTTPResponseStartEvent, HTTPResponseBodyEvent]


class ReadyMade:
    """The same answer as ASGI messages, for an error that is sent thousands of times a second."""

    def __init__(self, error: SagaError) -> None:
        answer = _translate(error)
        self._languages = of_chassis()
        self._messages = {
            language: _encoded(*_in_language(answer, self._languages, language))
            for language in self._languages.known
        }

    @property
    def english(self) -> Messages:
        """For a request whose headers are not known."""
        return self._messages[ENGLISH]

    def messages(self, scope: Scope) -> Messages:
        """In the language that the request prefers."""
        return self._messages[self._languages.preferred(scope)]


def _encoded(status: int, headers: Mapping[str, str], body: Error) -> Messages:
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
    return Invalid.field(key, message, source=source)


def invalid_body(error: msgspec.ValidationError, kind: Any) -> Invalid:
    """The error for a body that is not as its schema, `kind`, with the path of the field."""
    placed = _PLACE.fullmatch(str(error))
    message, key = placed.groups() if placed else (str(error), "")
    if field := _FIELD.fullmatch(message):
        key = f"{key}.{field[1]}" if key else field[1]
    message = plain(message, kind, key)
    return _invalid({"message": message, "source": "body"} | ({"key": key} if key else {}))


def allowed(methods: Collection[str]) -> str:
    """The Allow header of a path with these methods. HEAD is answered where GET is."""
    with_head = {*methods, "HEAD"} if "GET" in methods else {*methods}
    return ", ".join(sorted(with_head))


class _Answer(NamedTuple):
    """An error in English. `values` are those of a message in another language."""

    status: int
    headers: dict[str, str]
    body: Error
    values: Mapping[str, Any] = {}


def _in_language(
    answer: _Answer, languages: Languages, language: str
) -> tuple[int, dict[str, str], Error]:
    """The answer in a language; in English where that has no sentence for it."""
    status, headers, body, values = answer
    translation = languages.translation(language)
    translated = _translated(translation, body, values) if translation else None
    headers = headers | {
        "Content-Language": language if translated else ENGLISH,
        "Vary": "Accept-Language",
    }
    return status, headers, translated or body


def _translated(translation: Translation, body: Error, values: Mapping[str, Any]) -> Error | None:
    details = body.details
    problems = details.get("problems") if details else None
    if details and problems:
        problems = [{**each, "message": translation.problem(each["message"])} for each in problems]
        details = {**details, "problems": problems}
    found = _sentence(problems, "") if problems else translation.named_problem(body.message)
    message = translation.sentence(body.error, {**values, **(details or {}), "problems": found})
    return None if message is None else Error(error=body.error, message=message, details=details)


def _translate(error: SagaError) -> _Answer:
    headers, values = {}, dict(error.values)
    if isinstance(error, RetryLater | TooManyRequests):
        headers["Retry-After"] = str(error.retry_after_seconds)
        values["retryAfterSeconds"] = error.retry_after_seconds
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    details = None if error.details is None else dict(error.details)
    body = Error(error=error.code, message=error.message, details=details)
    return _Answer(error.status_code, headers, body, values)


def _of_framework(request: Request[Any, Any, Any], error: HTTPException) -> _Answer:
    headers = dict(error.headers or {})
    if methods := headers.pop("allow", None):
        headers["Allow"] = allowed(methods.split(", "))
    if isinstance(error, ValidationException) and isinstance(error.extra, list):
        found = _translate(_invalid(*(_named_as_sent(request, each) for each in error.extra)))
        return _Answer(found.status, headers, found.body)
    if missing := _MISSING.fullmatch(error.detail):
        source, key = missing.groups()
        return _translate(invalid(key, "is missing", source))
    code = _CODES.get(error.status_code, "INVALID_REQUEST")
    message, values = _MESSAGES.get(error.status_code) or error.detail or code, {}
    if error.status_code == 413:
        values["limit"] = request.route_handler.resolve_request_max_body_size()
        message = f"the body is too large; send at most {values['limit']} bytes"
    return _Answer(error.status_code, headers, Error(error=code, message=message), values)


def _invalid(*problems: Mapping[str, str]) -> Invalid:
    return Invalid(_sentence(problems, "the body"), details={"problems": problems})


def _sentence(problems: Iterable[Mapping[str, str]], body: str) -> str:
    """The problems with what each is about; `body` is the name of the whole body."""
    named = ((each.get("key", body), each["message"]) for each in problems)
    return "; ".join(f"{key}: {message}" if key else message for key, message in named)


def _named_as_sent(
    request: Request[Any, Any, Any], problem: Mapping[str, str]
) -> Mapping[str, str]:
    """The framework names a parameter as Python does; the client knows it by its own name."""
    declared = request.route_handler.parsed_fn_signature.parameters.get(problem.get("key", ""))
    sent_as = getattr(declared and declared.kwarg_definition, "name", None)
    message = plain(problem["message"], declared and declared.annotation)
    return {**problem, "message": message} | ({"key": sent_as} if sent_as else {})


def _about(request: Request[Any, Any, Any], error: Exception) -> dict[str, str]:
    return {"path": request.url.path, "error": repr(error)}
