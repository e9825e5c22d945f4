"""HTTP routes of accounts: signing up, the profile and the password."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Controller, Request, Response, delete, get, patch, post, put
from litestar.params import JSONBody

from chassis.service import Service
from chassis.web.access import OPERATOR, OPERATORS, PUBLIC, SIGNED_IN, Caller, CurrentCaller
from chassis.web.actions import records, records_for_others
from chassis.web.error_codes import USER_NOT_FOUND
from chassis.web.schemas import Body, Text, View, created, refusals
from events.contract import PERSONAL
from events.roles import Role
from saga import envelope
from saga.errors import Conflict
from user import store
from user.commands import (
    ChangePassword,
    EraseUser,
    RegisterUser,
    RenameUser,
    no_user,
    wrong_password,
)
from user.domain import SessionState, User, check_password, normal_email
from user.errors import (
    BAD_CREDENTIALS,
    TOO_MANY_TRIES,
    USER_EXISTS,
    WEAK_PASSWORD,
)
from user.passwords import Passwords
from user.routes import (
    ERASERS,
    OWN,
    Email,
    Password,
    UserId,
    UserService,
    address_of,
    learn_user,
)
from user.routes.addresses import AddressView
from user.sign_ins import SignIns
from user.unit_of_work import UserUnitOfWork


class NewUser(Body):
    """`email` is compared without regard to case. `password`: 8 to 128 characters."""

    email: Email
    password: Password
    name: Text


class NewAccount(NewUser):
    """An account with these roles. `userId`: the customer's, where there is one already."""

    roles: Annotated[list[Role], msgspec.Meta(min_length=1, max_length=len(Role))]
    user_id: UUID | None = None


class UserChanges(Body):
    """The name that the user is called by."""

    name: Text


class NewPassword(Body):
    """The password that is used now, and the one that replaces it."""

    current: Password
    new: Password


class UserView(View):
    """An account, without its password."""

    user_id: str
    email: str
    name: str
    roles: list[str]
    created_at: datetime


class SessionView(View):
    """A session, without its tokens. `updatedAt`: when its refresh token was replaced last."""

    session_id: str
    state: SessionState
    created_at: datetime
    updated_at: datetime


class StoredEvent(View):
    """An event with personal data that the broker holds."""

    name: str
    time: str
    body: dict[str, Any]


class Export(View):
    """All that the shop stores of a person, but for passwords and tokens.

    `events` are what services keep with personal data, such as an order's shipping address. Orders,
    payments and coupons are listed by their own services, by `customerId`.
    """

    user: UserView
    addresses: list[AddressView]
    sessions: list[SessionView]
    events: list[StoredEvent]


class AccountController(Controller):
    path = "/admin/users"
    tags = ("operations",)

    @post(
        summary="Add an account with roles",
        guards=[OPERATORS],
        opt=records("ACCOUNT_ADD", on="userId"),
        responses=refusals(WEAK_PASSWORD, USER_EXISTS, body=True),
    )
    async def add_account(
        self, data: JSONBody[NewAccount], service: UserService
    ) -> Response[UserView]:
        """As signing up does it, for people who work for the shop too."""
        user_id = str(data.user_id) if data.user_id else service.new_id()
        return await _register(service, data, user_id, sorted(set(data.roles)))


class UserController(Controller):
    path = "/users"
    tags = ("users",)

    @post(
        summary="Sign up",
        guards=[PUBLIC],
        opt=records("SIGN_UP", on="userId", learn=learn_user),
        responses=refusals(WEAK_PASSWORD, USER_EXISTS, TOO_MANY_TRIES, body=True),
    )
    async def register_user(
        self, data: JSONBody[NewUser], request: Request[Any, Any, Any], service: UserService
    ) -> Response[UserView]:
        """A wallet is opened for the user, with a balance of 0.

        A client that tries many addresses that are taken has to wait, as after wrong passwords.
        """
        sign_ins, address = service.components.of_type(SignIns), address_of(request)
        sign_ins.check_address(address, service.clock())
        try:
            return await _register(service, data, service.new_id(), [Role.CUSTOMER])
        except Conflict:
            sign_ins.failed_from(address, service.clock())
            raise

    @get(
        "/{userId:str}",
        summary="A user's profile",
        guards=[SIGNED_IN],
        responses=refusals(USER_NOT_FOUND),
    )
    async def get_user(
        self, user_id: UserId, service: UserService, caller: CurrentCaller
    ) -> UserView:
        """The account, without its password."""
        return _view(await _find(service, caller, str(user_id)))

    @patch(
        "/{userId:str}",
        summary="Change a profile",
        guards=[SIGNED_IN],
        opt=records_for_others("PROFILE_CHANGE", on="userId"),
        responses=refusals(USER_NOT_FOUND, body=True),
    )
    async def change_user(
        self,
        user_id: UserId,
        data: JSONBody[UserChanges],
        service: UserService,
        caller: CurrentCaller,
    ) -> UserView:
        """The address is the account's name, and stays."""
        _check(caller, str(user_id))
        done = await service.ask(RenameUser(user_id=str(user_id), name=data.name))
        return _view(done.result)

    @put(
        "/{userId:str}/password",
        status_code=204,
        summary="Change the password",
        guards=[SIGNED_IN],
        opt=records("PASSWORD_CHANGE", on="userId"),
        responses=refusals(
            WEAK_PASSWORD, BAD_CREDENTIALS, USER_NOT_FOUND, TOO_MANY_TRIES, body=True
        ),
    )
    async def change_password(
        self,
        user_id: UserId,
        data: JSONBody[NewPassword],
        request: Request[Any, Any, Any],
        service: UserService,
        caller: CurrentCaller,
    ) -> None:
        """All sessions of the user end. Wrong passwords count as those of signing in do."""
        user = await _find(service, caller, str(user_id))
        passwords = _passwords(service)
        check_password(data.new, user.email, user.name, key="new")
        sign_ins, address = service.components.of_type(SignIns), address_of(request)
        sign_ins.check(user.email, address, service.clock())
        is_right = await passwords.matches(user.password_hash, data.current)
        sign_ins.check(user.email, address, service.clock())
        if not is_right:
            sign_ins.failed(user.email, address, service.clock())
            raise wrong_password()
        command = ChangePassword(
            user_id=user.user_id,
            password_hash=user.password_hash,
            new_hash=await passwords.hash(data.new),
            kept_session_id=None,
        )
        await service.ask(command)

    @delete(
        "/{userId:str}",
        status_code=202,
        summary="Erase a user",
        guards=[ERASERS],
        opt=records("USER_ERASE", on="userId"),
        responses=refusals(USER_NOT_FOUND),
    )
    async def erase_user(
        self, user_id: UserId, service: UserService, caller: CurrentCaller
    ) -> None:
        """For the user, and for operators. It can't be undone.

        The account, its sessions and addresses are gone at once, the addresses of orders within
        seconds. Orders, payments and the wallet stay, without the person. An operator may erase an
        id without an account too, and repeat an erasure.
        """
        is_operator = OPERATOR in caller.roles
        if not is_operator and not caller.is_user(str(user_id)):
            raise no_user(str(user_id))
        await service.ask(EraseUser(user_id=str(user_id), may_be_unknown=is_operator))

    @get(
        "/{userId:str}/export",
        summary="All that is stored of a user",
        guards=[OWN],
        responses=refusals(USER_NOT_FOUND),
    )
    async def export_user(
        self, user_id: UserId, service: UserService, caller: CurrentCaller
    ) -> Export:
        """For the user alone. 503 while the broker, which holds the orders' addresses, is away."""
        if not caller.is_user(str(user_id)):
            raise no_user(str(user_id))
        user = await _find(service, caller, str(user_id))
        messages = await service.broker.history(PERSONAL.subjects_of(user.user_id))
        async with service.reading() as connection:
            addresses = await store.find_book(connection, user.user_id)
            sessions = await store.find_sessions(connection, user.user_id)
        return Export(
            user=_view(user),
            addresses=[AddressView.of(each) for each in addresses],
            sessions=[SessionView.of(each) for each in sessions],
            events=[
                StoredEvent(
                    name=envelope.name_in(each.subject),
                    time=each.headers.get(envelope.TIME, ""),
                    body=msgspec.json.decode(each.body),
                )
                for each in messages
            ],
        )


async def _register(
    service: Service[UserUnitOfWork], data: NewUser, user_id: str, roles: Sequence[Role]
) -> Response[UserView]:
    email = normal_email(data.email)
    check_password(data.password, email, data.name)
    command = RegisterUser(
        user_id=user_id,
        email=email,
        name=data.name,
        password_hash=await _passwords(service).hash(data.password),
        roles=" ".join(roles),
    )
    user: User = (await service.ask(command)).result
    return created(_view(user), f"/users/{user.user_id}")


def _check(caller: Caller, user_id: str) -> None:
    """Raises NotFound for another user, whether there is one or not."""
    caller.find(user_id, lambda: no_user(user_id))


async def _find(service: Service[UserUnitOfWork], caller: Caller, user_id: str) -> User:
    """Raises NotFound also for another user."""
    _check(caller, user_id)
    async with service.reading() as connection:
        user = await store.find_user(connection, user_id)
    if user is None or not user.is_active:
        raise no_user(user_id)
    return user


def _passwords(service: Service[UserUnitOfWork]) -> Passwords:
    return service.components.of_type(Passwords)


def _view(user: User) -> UserView:
    return UserView.of(user, roles=user.roles.split())


ROUTES = [UserController, AccountController]
