"""The shapes that HTTP bodies and parameters share, and the limits on what a client may send."""

from datetime import UTC, datetime
from typing import Annotated, Any, Self

import msgspec
from litestar.openapi import ResponseSpec
from litestar.params import HeaderParameter, QueryParameter

from saga.errors import Invalid

MAX_PAGE_SIZE = 100

NO_NUL = "^[^\\u0000]*$"  # PostgreSQL can't hold one in a text
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=NO_NUL)]
Label = Annotated[str, msgspec.Meta(max_length=200, pattern=NO_NUL)]
LongText = Annotated[str, msgspec.Meta(max_length=2_000, pattern=NO_NUL)]
Instant = Annotated[datetime, msgspec.Meta(tz=True)]
OptionalKey = Annotated[str | None, HeaderParameter(name="Idempotency-Key", max_length=255)]
TraceContext = Annotated[
    str | None,
    HeaderParameter(name="traceparent", description="W3C Trace Context, which the saga goes on"),
]
Page = Annotated[int, QueryParameter(ge=0, le=1_000_000, description="counts from 0")]
Size = Annotated[int, QueryParameter(ge=1, le=MAX_PAGE_SIZE, description="rows on a page")]


def utc(instant: datetime | None) -> datetime | None:
    """A client's time in the zone that everything here is told in. Raises Invalid."""
    try:
        return instant and instant.astimezone(UTC)
    except OverflowError:
        raise Invalid("a time lies, in UTC, before the year 1 or after the year 9999") from None


def instant(name: str, text: str | None) -> datetime | None:
    """The time that a query parameter says. Raises Invalid."""
    if text is None:
        return None
    try:
        return utc(msgspec.convert(text, Instant))
    except msgspec.ValidationError:
        raise Invalid(f"{name}: send a time with its zone, such as 2026-01-31T09:00:00Z") from None


_MEANS = {
    400: "What was sent can't be used, or a rule refuses it; nothing was stored",
    401: "The operators' token is missing or wrong",
    404: "There is no such thing",
    409: "Somebody else was first",
    413: "The body is too large",
    415: "The body is not JSON",
    422: "The Idempotency-Key was used for another request",
    424: "Somebody whose consent is needed has refused; everything is as it was",
    502: "The payment gateway refused, or did not answer in time; nothing was changed",
    503: "Not now: send it again after Retry-After",
}


class Body(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """What a client sends. Unknown fields are refused: a misspelt one would else be lost."""


class View(msgspec.Struct, rename="camel"):
    """What a client gets."""

    @classmethod
    def of(cls, row: msgspec.Struct, **more: object) -> Self:
        """A view of a row: its fields of the same names, and what was worked out beside them."""
        same = {name: getattr(row, name) for name in cls.__struct_fields__ if name not in more}
        return cls(**same, **more)


class Error(View):
    """The body of every error."""

    error: str
    message: str
    details: dict[str, Any] | None = None


def refusals(*statuses: int, body: bool = False) -> dict[int, ResponseSpec]:
    """The errors that a route answers with, for its documentation: 400 and 503 and these."""
    known = {400, 503, *statuses, *((413, 415) if body else ())}
    return {status: answered(Error, _MEANS[status]) for status in sorted(known)}


def answered(shape: type[View], meaning: str) -> ResponseSpec:
    """An answer beside a route's usual one, for its documentation."""
    return ResponseSpec(shape, description=meaning, generate_examples=False)
