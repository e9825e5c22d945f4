"""Marks personal data where it is declared: a field of an event, or a column of a table.

    street: Annotated[str, Personal("To send parcels to.")]
    Column("street", String(200), info=personal("To send parcels to."))

From the marks follow a generated page and what the audit looks at. A key that is a random id is no
personal data by itself: it stays when its person is erased.
"""

from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec

MARK = "personal"
"""The key of a mark in a column's `info`."""


class Personal(msgspec.Struct, frozen=True):
    """`purpose`: what the data is kept for, as a sentence."""

    purpose: str


def personal(purpose: str) -> dict[Any, Any]:
    """The `info` of a column with personal data."""
    return {MARK: Personal(purpose)}


def personal_fields(declared: type[msgspec.Struct]) -> Iterator[tuple[str, Personal]]:
    """The marked fields of a struct and of the structs in it: names as on the wire, with dots."""
    names = dict(zip(declared.__struct_fields__, declared.__struct_encode_fields__, strict=True))
    hints = get_type_hints(declared, include_extras=True)
    for name, wire_name in names.items():
        yield from _marks(hints[name], wire_name)


def _marks(hint: Any, path: str) -> Iterator[tuple[str, Personal]]:
    if get_origin(hint) is Annotated:
        yield from ((path, each) for each in hint.__metadata__ if isinstance(each, Personal))
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        yield from ((f"{path}.{inner}", mark) for inner, mark in personal_fields(hint))
    for each in get_args(hint):
        if each is not Ellipsis and not isinstance(each, Personal | msgspec.Meta):
            yield from _marks(each, path)
