"""Valid events: any value that their types allow in every field."""

from datetime import UTC
from typing import Any

import msgspec
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from msgspec import inspect

from events.contract import MAX_AMOUNT
from saga.event import Event

Ids = SearchStrategy[str]

FRESH_IDS: Ids = st.uuids(version=4).map(str)


def events(event_type: type[Event], ids: Ids) -> SearchStrategy[Event]:
    """Events of this type, with ids from these."""
    return _structs(event_type, ids)


def _structs(struct: type[Any], ids: Ids) -> SearchStrategy[Any]:
    shape = inspect.type_info(struct)
    assert isinstance(shape, inspect.StructType)
    return st.builds(struct, **{field.name: _values(field.type, ids) for field in shape.fields})


def _values(kind: inspect.Type, ids: Ids) -> SearchStrategy[Any]:  # noqa: C901, PLR0911 - one a type
    match kind:
        case inspect.StrType(pattern=None):
            return st.text(max_size=50)
        case inspect.StrType():
            return ids  # the only pattern in the contract
        case inspect.IntType(ge=least):
            return st.integers(least or 0, MAX_AMOUNT)
        case inspect.BoolType():
            return st.booleans()
        case inspect.EnumType(cls=names):
            return st.sampled_from(list(names))
        case inspect.DateTimeType():
            return st.datetimes(timezones=st.just(UTC))
        case inspect.VarTupleType(item_type=item):
            return st.lists(_values(item, ids), max_size=5).map(tuple)
        case inspect.StructType(cls=struct):
            return _structs(struct, ids)
        case inspect.UnionType(types=types):
            return st.one_of(*(_values(each, ids) for each in types))
        case inspect.NoneType():
            return st.none()
    raise NotImplementedError(f"the contract has a new type of field: {kind}")


def json_of(event: Event) -> dict[str, Any]:
    """The event's body as plain JSON."""
    body: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(event))
    return body
