"""The shapes that HTTP bodies and parameters share, and the limits on what a client may send."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter
from typing import Annotated, Self, TypeVar

import msgspec
from litestar import Response
from litestar.openapi import ResponseSpec
from litestar.openapi.spec import Example
from litestar.params import HeaderParameter

from chassis.web import error_codes
from chassis.web.error_codes import ErrorCode
from chassis.web.errors import Error, invalid

NO_NUL = "^[^\\u0000]*$"  # PostgreSQL can't hold one in a text
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=NO_NUL)]
Label = Annotated[str, msgspec.Meta(max_length=200, pattern=NO_NUL)]
LongText = Annotated[str, msgspec.Meta(max_length=2_000, pattern=NO_NUL)]
Instant = Annotated[datetime, msgspec.Meta(tz=True)]
OptionalKey = Annotated[str | None, HeaderParameter(name="Idempotency-Key", max_length=255)]
RequiredKey = Annotated[str, HeaderParameter(name="Idempotency-Key", max_length=255)]
TraceContext = Annotated[
    str | None,
    HeaderParameter(name="traceparent", description="W3C Trace Context, which the saga continues"),
]


def utc(instant: datetime | None, name: str, source: str = "body") -> datetime | None:
    """A client's time in UTC. `name`: its field or parameter. Raises Invalid."""
    try:
        return instant and instant.astimezone(UTC)
    except OverflowError:
        message = "is, in UTC, before the year 1 or after the year 9999"
        raise invalid(name, message, source) from None


def instant(name: str, text: str | None) -> datetime | None:
    """A query parameter's time in UTC. Raises Invalid."""
    if text is None:
        return None
    try:
        return utc(msgspec.convert(text, Instant), name, "query")
    except msgspec.ValidationError:
        example = "2026-01-31T09:00:00Z or 2026-01-31T18:00:00%2B09:00"
        message = f"send a time with its zone, such as {example} (a + in a query is a space)"
        raise invalid(name, message, "query") from None


class Body(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """What a client sends. Unknown fields are refused: a misspelt one would else be lost."""


class View(msgspec.Struct, rename="camel"):
    """What a client gets."""

    @classmethod
    def of(cls, row: msgspec.Struct, **more: object) -> Self:
        """A view of a row: its fields of the same names, and computed ones beside them."""
        same = {name: getattr(row, name) for name in cls.__struct_fields__ if name not in more}
        return cls(**same, **more)


V = TypeVar("V", bound=View)

_OF_STATUS = {each.status: each for each in reversed(error_codes.codes_of(error_codes))}
_ALWAYS = (error_codes.VALIDATION_ERROR, error_codes.RETRY_LATER)
_WITH_BODY = (error_codes.BODY_TOO_LARGE, error_codes.UNSUPPORTED_MEDIA_TYPE)
_status = attrgetter("status")


def refusals(*errors: ErrorCode | int, body: bool = False) -> dict[int, ResponseSpec]:
    """The errors that a route answers with, for its documentation.

    400 and 503 are always among them, and with a `body` 413 and 415. A status alone stands for the
    code that all services have for it.
    """
    named = (_OF_STATUS[each] if isinstance(each, int) else each for each in errors)
    known = dict.fromkeys((*_ALWAYS, *named, *(_WITH_BODY if body else ())))
    by_status = sorted(known, key=_status)
    return {status: _refused(list(codes)) for status, codes in groupby(by_status, _status)}


def _refused(codes: Sequence[ErrorCode]) -> ResponseSpec:
    shown = [
        Example(
            summary=each.when,
            value={"error": each.code, "message": each.when},
            id=each.code,
        )
        for each in codes
    ]
    meaning = " ".join(f"`{each.code}`: {each.when}" for each in codes)
    return ResponseSpec(Error, description=meaning, generate_examples=False, examples=shown)


def answered(shape: type[msgspec.Struct], meaning: str) -> ResponseSpec:
    """An answer beside a route's usual one, for its documentation."""
    return ResponseSpec(shape, description=meaning, generate_examples=False)


def created(
    view: V, path: str, *, is_new: bool = True, headers: Mapping[str, str] | None = None
) -> Response[V]:
    """201 with the new resource's `path` below /api/v1; 200 for one that was there before."""
    sent = {"Location": f"/api/v1{path}", **(headers or {})}
    return Response(view, status_code=201 if is_new else 200, headers=sent)
