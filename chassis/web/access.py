"""Who calls, and who may call a route.

Each route names it beside its handler:

    @get("/{tripId:str}", guards=[SIGNED_IN])

A service is not built while one of its routes does not. Whose data a route is about, its handler
checks: `caller.owns(user_id)`.
"""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from litestar import Litestar
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.routes import HTTPRoute

from chassis import actions
from saga.errors import Forbidden, NotFound, SagaError, Unauthorized

READER, OPERATOR = "reader", "operator"
"""Roles of the operators' routes. A reader sees what operators see, and changes nothing."""

SCOPE = "chassis.caller"
"""Where the authentication puts the caller into the ASGI scope, or the error of its token."""


class Caller(msgspec.Struct, frozen=True):
    """Who sent a request. `user_id` is None for a machine, and where all are trusted.

    `acts_for_all`: may act for any user. `is_trusted`: no sign-in is asked for.
    """

    user_id: str | None
    roles: frozenset[str]
    acts_for_all: bool = False
    is_trusted: bool = False

    @property
    def operates(self) -> bool:
        """An operator, or one who sees what operators see."""
        return bool(self.roles & {READER, OPERATOR})

    def is_user(self, user_id: str) -> bool:
        """Is the caller this very user, or trusted? Who acts for all is not."""
        return self.is_trusted or user_id == self.user_id

    def owns(self, user_id: str | None) -> bool:
        """May the caller read and do what is this user's? None: of all users.

        What a caller who acts for all then does is recorded as done for that user.
        """
        if user_id is not None and user_id == self.user_id:
            return True
        if self.acts_for_all and user_id is not None and self.user_id is not None:
            actions.on_behalf_of(user_id)
        return self.acts_for_all

    def check(self, user_id: str) -> None:
        """For a user whom the request itself names. Raises Forbidden for another user than the
        caller, unless the caller acts for all.
        """
        if not self.owns(user_id):
            raise Forbidden("this is another user's")

    def find(self, user_id: str, missing: Callable[[], NotFound]) -> None:
        """For what is a user's. Raises `missing` where it is another user's: whether it is there
        is a secret.
        """
        if not self.owns(user_id):
            raise missing() from Forbidden("this is another user's")

    def own(self, user_id: str | None) -> str | None:
        """The user whose rows a list shows: the caller, where none is named. None: all.

        Raises NotFound for another user, and Forbidden for a caller who is no user and sees not
        all.
        """
        if self.acts_for_all:
            return user_id
        wanted = user_id or self.user_id
        if wanted is None:
            raise Forbidden("name the user whose rows are wanted")
        self.find(wanted, lambda: no_user(wanted))
        return wanted


TRUSTED = Caller(None, frozenset({READER, OPERATOR}), acts_for_all=True, is_trusted=True)
"""The caller where no sign-in is asked for."""

TRUSTED_CLIENT = Caller(None, frozenset(), acts_for_all=True, is_trusted=True)
"""The same, of a request without the operators' token, where there is one."""

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
        if caller.is_trusted and not self.roles & {READER, OPERATOR}:
            return
        is_known = caller.user_id is not None or bool(caller.roles)
        if not is_known:
            raise Unauthorized(f"this is for {self.name}: send Authorization: Bearer <token>")
        if self.roles and not self.roles & caller.roles:
            raise Forbidden(f"this is for {self.name} only")


PUBLIC = Access("all", is_public=True)
SIGNED_IN = Access("signed-in users")
OPERATORS = Access("operators", frozenset({OPERATOR}))
READERS = Access("operators and readers", frozenset({READER, OPERATOR}))


def no_user(user_id: str) -> NotFound:
    return NotFound(f"there is no user {user_id}", code="USER_NOT_FOUND")


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
