"""What is wrong with a value of a request, in plain English.

The decoder's texts name Python's types and regular expressions; here they become sentences for
those who send JSON. Other languages translate these sentences (`chassis/web/messages`).
"""

import re
from collections.abc import Sequence
from typing import Any

from msgspec import inspect

TYPES = {
    "array": "a list",
    "bool": "true or false",
    "bytes": "a text",
    "datetime": "a time with its zone, such as 2026-01-31T09:00:00Z",
    "float": "a number",
    "int": "a whole number",
    "null": "null",
    "object": "an object",
    "str": "a text",
    "uuid": "a UUID, such as 3fa85f64-5717-4562-b3fc-2c963f66afa6",
}
_BOUND = re.compile(r"Expected `([a-z]+)[^`]*`( of length)? (<=|>=) (\S+)")
_BOUNDS = {"<=": "at most", ">=": "at least"}
_TYPE = re.compile(r"Expected `([a-z]+)[^`]*`, got `([a-z]+)`")
_LENGTHS = {"array": "item", "str": "character"}
_FIXED = (
    ("Expected `datetime` with", f"must be {TYPES['datetime']}"),
    ("Invalid RFC3339", f"must be {TYPES['datetime']}"),
    ("Invalid UUID", f"must be {TYPES['uuid']}"),
    (r"Expected `str` matching regex '^[^\\u0000]*$'", "must not have the character NUL"),
    ("Expected `str` matching regex", "has a form that is not allowed here"),
    ("Object missing required field", "is missing"),
    ("Object contains unknown field", "there is no such field"),
)
_STEP = re.compile(r"[^.\[\]]+")


def plain(text: str, kind: Any = None, key: str = "") -> str:
    """The decoder's text as a sentence; unchanged where it is one. `kind`: the type of the whole.

    `key`: the place of the value in it, such as `items[0].quantity`.
    """
    if bound := _BOUND.fullmatch(text):
        name, has_length, sign, limit = bound.groups()
        if has_length:
            unit = _LENGTHS.get(name, "character")
            return f"must have {_BOUNDS[sign]} {limit} {unit}{'' if limit == '1' else 's'}"
        return f"must be {TYPES.get(name, name)} of {_BOUNDS[sign]} {limit}"
    if types := _TYPE.fullmatch(text):
        wanted, got = (TYPES.get(name, name) for name in types.groups())
        got = "a decimal number" if got == TYPES["float"] else got.partition(",")[0]
        return f"must be {wanted}, not {got}"
    if text.startswith("Invalid enum value"):
        known = choices(kind, key)
        return f"must be one of {', '.join(known)}" if known else "is no value of those allowed"
    return next((said for begins, said in _FIXED if text.startswith(begins)), text)


def choices(kind: Any, key: str) -> Sequence[str]:
    """The values of the enum at this place of a type; none where there is no enum."""
    return () if kind is None else _choices(inspect.type_info(kind), _STEP.findall(key))


def _choices(node: inspect.Type, steps: Sequence[str]) -> Sequence[str]:
    match node:
        case inspect.Metadata(type=inner):
            return _choices(inner, steps)
        case inspect.UnionType(types=types):
            return next((found for each in types if (found := _choices(each, steps))), ())
        case inspect.EnumType(cls=names) if not steps:
            return [str(each.value) for each in names]
        case inspect.StructType(fields=fields) if steps:
            named = (each.type for each in fields if each.encode_name == steps[0])
            return next((_choices(each, steps[1:]) for each in named), ())
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item) if steps:
            return _choices(item, steps[1:])
    return ()
