"""Background components of a service: what it has beside the mailbox, such as a cache of reads."""

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from chassis.participant import U_contra

C = TypeVar("C")


class Component(Generic[U_contra]):
    """Lives for as long as its service. Override what is needed; the defaults do nothing."""

    async def start(self, service: Any, /) -> None:
        """Begin. The service's database can be read by now."""

    def committed(self, uow: U_contra, /) -> None:
        """Called after each commit with the batch's unit of work. Quick, and may not raise."""

    async def close(self) -> None:
        """End, and release what is held."""


class Components(Generic[U_contra]):
    """All components of one service."""

    def __init__(self, components: Sequence[Component[U_contra]]) -> None:
        self._by_type: dict[type[Any], Component[U_contra]] = {
            type(each): each for each in components
        }

    def of_type(self, kind: type[C]) -> C:
        """Raises KeyError when there is none."""
        component = self._by_type[kind]
        assert isinstance(component, kind)
        return component

    async def start(self, service: Any) -> None:
        for component in self._by_type.values():
            await component.start(service)

    def committed(self, uow: U_contra) -> None:
        for component in self._by_type.values():
            component.committed(uow)

    async def close(self) -> None:
        for component in self._by_type.values():
            await component.close()
