"""What routes have injected: the service, the caller, and the page that a list is asked for."""

from typing import Annotated, Any, Generic, TypeVar

import msgspec
from litestar.di import NamedDependency, Provide
from litestar.params import BodyKwarg, QueryParameter
from litestar.types import Scope

from chassis.service import Service
from chassis.web.access import Caller, caller_of
from chassis.web.schemas import View

T = TypeVar("T")

MAX_PAGE_SIZE = 100

AnyService = NamedDependency[Service[Any]]
"""Of the routes that every service has. A service's own routes name its unit of work."""


class Page(View, Generic[T]):
    """Some rows of a list, and how many there are in all."""

    items: list[T]
    page: int
    size: int
    total: int


class PageRequest(msgspec.Struct, frozen=True):
    """Which page of a list is wanted; pages count from 0."""

    page: int
    size: int

    @property
    def offset(self) -> int:
        """How many rows stand before the page."""
        return self.page * self.size

    def of(self, items: list[T], total: int) -> Page[T]:
        return Page(items, self.page, self.size, total)


Paging = NamedDependency[PageRequest]


def shown_as(name: str) -> BodyKwarg:
    """Name a `Page[...]` in the OpenAPI document: `Annotated[Page[X], shown_as("XPage")]`."""
    return BodyKwarg(schema_component_key=name)


def provide(service: Service[Any]) -> dict[str, Provide]:
    """Every route has the service; that is cached, for a second value would cost a task group."""
    return {
        "service": Provide(lambda: service, sync_to_thread=False, use_cache=True),
        "caller": Provide(_caller, sync_to_thread=False),
        "paging": Provide(_paging, sync_to_thread=False),
    }


def _caller(scope: Scope) -> Caller:
    return caller_of(scope)


def _paging(
    page: Annotated[int, QueryParameter(ge=0, le=1_000_000, description="counts from 0")] = 0,
    size: Annotated[int, QueryParameter(ge=1, le=MAX_PAGE_SIZE, description="rows on a page")] = 20,
) -> PageRequest:
    return PageRequest(page, size)
