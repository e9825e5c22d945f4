"""The shapes that HTTP bodies and parameters share, and the limits on what a client may send."""

from typing import Annotated, Self

import msgspec
from litestar.params import HeaderParameter, QueryParameter

from events.contract import LARGEST

LARGEST_PAGE = 100

Amount = Annotated[int, msgspec.Meta(ge=1, le=LARGEST)]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
LongText = Annotated[str, msgspec.Meta(max_length=2_000)]
OptionalKey = Annotated[str | None, HeaderParameter(name="Idempotency-Key", max_length=255)]
Page = Annotated[int, QueryParameter(ge=0, le=1_000_000, description="counts from 0")]
Size = Annotated[int, QueryParameter(ge=1, le=LARGEST_PAGE, description="rows on a page")]


class Body(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """What a client sends. Unknown fields are refused: a misspelt one would else be lost."""


class View(msgspec.Struct, rename="camel"):
    """What a client gets."""

    @classmethod
    def of(cls, row: msgspec.Struct, **more: object) -> Self:
        """A view of a row: its fields of the same names, and what was worked out beside them."""
        same = {name: getattr(row, name) for name in cls.__struct_fields__ if name not in more}
        return cls(**same, **more)
