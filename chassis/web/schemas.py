"""The shapes that HTTP bodies and parameters share, and the limits on what a client may send."""

from datetime import UTC, datetime
from typing import Annotated, Self, TypeVar

import msgspec
from litestar import Response
from litestar.openapi import ResponseSpec
from litestar.params import HeaderParameter

from chassis.web.errors import Error, invalid
from saga.errors import Invalid

NO_NUL = "^[^\\u0000]*$"  # PostgreSQL can't hold one in a text
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=NO_NUL)]
Label = Annotated[str, msgspec.Meta(max_length=200, pattern=NO_NUL)]
LongText = Annotated[str, msgspec.Meta(max_length=2_000, pattern=NO_NUL)]
Instant = Annotated[datetime, msgspec.Meta(tz=True)]
OptionalKey = Annotated[str | None, HeaderParameter(name="Idempotency-Key", max_length=255)]
TraceContext = Annotated[
    str | None,
    HeaderParameter(name="traceparent", description="W3C Trace Context, which the saga continues"),
]


def utc(instant: datetime | None) -> datetime | None:
    """A client's time in UTC. Raises Invalid."""
    try:
        return instant and instant.astimezone(UTC)
    except OverflowError:
        raise Invalid("a time is, in UTC, before the year 1 or after the year 9999") from None


def instant(name: str, text: str | None) -> datetime | None:
    """A query parameter's time in UTC. Raises Invalid."""
    if text is None:
        return None
    try:
        return utc(msgspec.convert(text, Instant))
    except msgspec.ValidationError:
        example = "send a time with its zone, such as 2026-01-31T09:00:00Z"
        raise invalid(name, example, "query") from None


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

_MEANINGS = {
    400: "The request can't be used, or a rule refuses it; nothing was stored",
    401: "The operators' token is missing or wrong",
    404: "Not found",
    409: "Another request was first",
    413: "The body is too large",
    415: "The body is not JSON",
    422: "The Idempotency-Key was used for another request",
    424: "Another participant refused; everything is as it was",
    502: "An external system refused, or did not answer in time; nothing was changed",
    503: "Overload or outage: send the request again after Retry-After",
}


def refusals(*statuses: int, body: bool = False) -> dict[int, ResponseSpec]:
    """The errors that a route answers with, for its documentation: 400 and 503 and these."""
    known = {400, 503, *statuses, *((413, 415) if body else ())}
    return {status: answered(Error, _MEANINGS[status]) for status in sorted(known)}


def answered(shape: type[msgspec.Struct], meaning: str) -> ResponseSpec:
    """An answer beside a route's usual one, for its documentation."""
    return ResponseSpec(shape, description=meaning, generate_examples=False)


def created(view: V, path: str, *, is_new: bool = True) -> Response[V]:
    """201 with the new resource's `path` below /api/v1; 200 for one that was there before."""
    headers = {"Location": f"/api/v1{path}"}
    return Response(view, status_code=201 if is_new else 200, headers=headers)
