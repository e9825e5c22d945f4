"""Who calls, and who may call a route.

Each route names it beside its handler:

    @get("/{orderId:str}", guards=[SIGNED_IN])

A service whose route does not is not built. Whose order, wallet or coupon it is follows from the
data: the handler asks `caller.owns(customer_id)`.
"""

from collections.abc import Iterable
from typing import Any

import msgspec
from litestar import Litestar
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.routes import HTTPRoute

from saga.errors import Forbidden, SagaError, Unauthorized

CUSTOMER, READER, SHOPKEEPER, OPERATOR = "customer", "reader", "shopkeeper", "operator"

SCOPE = "chassis.caller"
"""Where the authentication puts the caller into the ASGI scope, or the error of its token."""


class Caller(msgspec.Struct, frozen=True):
    """Who sent a request. `user_id` is None for a machine, and where all are trusted."""

    user_id: str | None
    roles: frozenset[str]

    @property
    def acts_for_all(self) -> bool:
        """A shopkeeper may act for any customer."""
        return SHOPKEEPER in self.roles

    @property
    def operates(self) -> bool:
        """An operator, or one who sees what operators see."""
        return bool(self.roles & {READER, OPERATOR})

    def owns(self, customer_id: str | None) -> bool:
        """May the caller read and do what is this customer's? None: of all customers."""
        return self.acts_for_all or (customer_id is not None and customer_id == self.user_id)

    def check(self, customer_id: str) -> None:
        """Raises Forbidden for a customer other than the caller, unless a shopkeeper acts."""
        if not self.owns(customer_id):
            raise Forbidden("this is another customer's")

    def own(self, customer_id: str | None) -> str | None:
        """The customer whose rows a list shows: the caller, where none is named. None: all.

        Raises Forbidden for another customer, and for a caller who is no user and sees not all.
        """
        if self.acts_for_all:
            return customer_id
        wanted = customer_id or self.user_id or ""
        self.check(wanted)
        return wanted


TRUSTED = Caller(None, frozenset({CUSTOMER, READER, SHOPKEEPER, OPERATOR}))
"""The caller where no sign-in is asked for."""

NOT_SIGNED_IN = Caller(None, frozenset())

CurrentCaller = NamedDependency[Caller]
"""The caller, as a route has it injected."""


class Access(msgspec.Struct, frozen=True):
    """A guard: who may call a route. Without `roles`: all who are signed in, or all."""

    name: str
    roles: frozenset[str] = frozenset()
    is_public: bool = False

    @property
    def has_machines(self) -> bool:
        """May a machine that has the operators' token call the route?"""
        return OPERATOR in self.roles

    async def __call__(
        self, connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler
    ) -> None:
        """Asynchronous, because the framework runs a plain function in a thread."""
        self.check(connection.scope)

    def check(self, scope: Any) -> None:
        """Raises Unauthorized for a caller who is not known, Forbidden for one who may not.

        RetryLater, where the key of an access token can't be read now.
        """
        if self.is_public:
            return
        caller = caller_of(scope)
        if caller.roles and (not self.roles or self.roles & caller.roles):
            return
        if caller.user_id is None and self.roles:
            raise Unauthorized(f"this is for {self.name}: send Authorization: Bearer <token>")
        if caller.user_id is None:
            raise Unauthorized("sign in, and send Authorization: Bearer <access token>")
        raise Forbidden(f"this is for {self.name} only")


PUBLIC = Access("all", is_public=True)
SIGNED_IN = Access("signed-in users")
SHOPKEEPERS = Access("shopkeepers", frozenset({SHOPKEEPER}))
OPERATORS = Access("operators", frozenset({OPERATOR}))
READERS = Access("operators and readers", frozenset({READER, OPERATOR}))


def caller_of(scope: Any) -> Caller:
    """Raises why the request's token could not be used."""
    found = scope.get(SCOPE, NOT_SIGNED_IN)
    if isinstance(found, SagaError):
        raise found
    assert isinstance(found, Caller)
    return found


def access_of(handler: HTTPRouteHandler) -> Access:
    """The guard of a route. Raises TypeError unless it has exactly one."""
    found = [each for each in handler.resolve_guards() if isinstance(each, Access)]
    if len(found) != 1:
        raise TypeError(f"{handler}: name who may call it, in guards=[...], once")
    return found[0]


def check_routes(app: Litestar) -> None:
    """Raises TypeError for a route below /api that does not name who may call it."""
    for _, handler in handlers(app):
        access_of(handler)


def handlers(app: Litestar) -> Iterable[tuple[str, HTTPRouteHandler]]:
    """All routes below /api: the path and its handlers."""
    for route in app.routes:
        if isinstance(route, HTTPRoute) and route.path.startswith("/api/"):
            for handler, _ in route.route_handler_map.values():
                if "OPTIONS" not in handler.http_methods:
                    yield route.path, handler
