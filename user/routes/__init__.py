"""The user service's HTTP routes."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Request
from litestar.di import NamedDependency
from litestar.params import PathParameter

from chassis.actions import Learned
from chassis.service import Service
from chassis.web.access import Access
from chassis.web.schemas import NO_NUL
from user.domain import User
from user.unit_of_work import UserUnitOfWork

UserService = NamedDependency[Service[UserUnitOfWork]]
"""The service, as every route has it injected."""

OWN = Access("the user whose it is")
ERASERS = Access("the user whose it is, and operators")
"""Guards for signed-in users, whose id the handler compares with the caller's."""

UserId = Annotated[UUID, PathParameter(name="userId")]

Email = Annotated[str, msgspec.Meta(min_length=3, max_length=254, pattern=NO_NUL)]
Password = Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
"""What is too long for a password is refused as a weak one, not as a malformed request."""


def address_of(request: Request[Any, Any, Any]) -> str:
    """The client's address; behind a proxy the one that TRUSTED_PROXIES forwards."""
    return request.client.host if request.client else ""


def learn_user(user: User) -> Learned:
    """Who has signed up, or in, for the audit log."""
    return Learned(user.user_id, roles=user.roles)
