"""Type hints that declare a flow: the events in a hint, and the marks on them."""

from collections.abc import Iterable
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from saga.event import Event

E = TypeVar("E", bound=Event)

_OF_OTHERS = "of other sagas"
OfOthers = Annotated[E, _OF_OTHERS]
"""An event, in a hint, about another saga than the one whose event is handled."""


class WrongHints(TypeError):
    """A function whose type hints do not declare what it handles and emits. Raised at import."""


def types_in(hint: Any) -> Iterable[Any]:
    """The types in a hint: unions and sequences are flattened, None is left out."""
    return (member for member, _ in flattened(hint))


def flattened(hint: Any, *, of_others: bool = False) -> Iterable[tuple[Any, bool]]:
    """The types in a hint, and whether each is marked `OfOthers`."""
    origin = get_origin(hint)
    if origin is Annotated:
        inner, *marks = get_args(hint)
        yield from flattened(inner, of_others=of_others or _OF_OTHERS in marks)
    elif origin in (Union, UnionType) or origin in (list, tuple):
        for argument in get_args(hint):
            if argument is not Ellipsis:
                yield from flattened(argument, of_others=of_others)
    elif hint is not NoneType and hint is not None:
        yield hint, of_others
