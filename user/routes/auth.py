"""HTTP routes of sessions: signing in, refreshing and signing out."""

from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, Response, post
from litestar.openapi import ResponseSpec
from litestar.params import JSONBody

from chassis import actions
from chassis.actions import Learned
from chassis.service import Service
from chassis.web.access import PUBLIC
from chassis.web.actions import records, records_for_others
from chassis.web.authentication import cookie
from chassis.web.response_headers import SET_COOKIE
from chassis.web.schemas import NO_NUL, Body, View, refusals
from user import keys, store, tokens
from user.commands import (
    BeginSession,
    EndSession,
    Refreshed,
    RefreshSession,
    bad_credentials,
    not_refreshed,
)
from user.domain import ACCESS_LIFE, Presented, Session, User, normal_email
from user.errors import (
    BAD_CREDENTIALS,
    TOKEN_INVALID,
    TOKEN_JUST_ROTATED,
    TOKEN_REUSED,
    TOO_MANY_TRIES,
)
from user.passwords import Passwords
from user.routes import Email, Password, UserService, address_of, learn_user
from user.settings import Settings
from user.sign_ins import SignIns
from user.unit_of_work import UserUnitOfWork


class Credentials(Body):
    """Address and password."""

    email: Email
    password: Password


class RefreshToken(Body):
    """The newest refresh token of a session."""

    refresh_token: Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=NO_NUL)]


class Tokens(View):
    """`accessToken` is sent with each request for `expiresIn` seconds, `refreshToken` once."""

    access_token: str
    refresh_token: str
    expires_in: int
    token_type: str = "Bearer"  # noqa: S105 - the name of a scheme


def _learn_session(session: Session | None) -> Learned:
    return Learned(session.user_id if session else None)


def _learn_refresh(refreshed: Refreshed) -> Learned:
    """A refresh is recorded where its token was used before: there may be a copy of it."""
    if refreshed.presented is not Presented.REUSED or refreshed.session is None:
        return Learned()
    return Learned(refreshed.session.user_id, TOKEN_REUSED.code)


class AuthController(Controller):
    path = "/auth"
    tags = ("auth",)

    @post(
        "/login",
        status_code=200,
        summary="Sign in",
        guards=[PUBLIC],
        opt=records("SIGN_IN", on="userId", learn=learn_user),
        responses=refusals(BAD_CREDENTIALS, TOO_MANY_TRIES, body=True),
        response_headers=[SET_COOKIE],
    )
    async def log_in(
        self,
        data: JSONBody[Credentials],
        request: Request[Any, Any, Any],
        service: UserService,
    ) -> Response[Tokens]:
        """Sets the cookie `access_token` too, for browsers.

        An unknown address gets the same answer as a wrong password. After some wrong passwords the
        account, and the client's address, have to wait longer and longer.
        """
        sign_ins = service.components.of_type(SignIns)
        email = normal_email(data.email)
        address = address_of(request)
        sign_ins.check(email, address, service.clock())
        passwords = service.components.of_type(Passwords)
        passwords.check_room()
        async with service.reading() as connection:
            user = await store.find_by_email(connection, email)
        if user:
            actions.about(user.user_id)
        is_right = await passwords.matches(user.password_hash if user else None, data.password)
        sign_ins.check(email, address, service.clock())
        if not is_right or not user:
            sign_ins.failed(email, address, service.clock())
            raise bad_credentials()
        sign_ins.succeeded(email)
        secret = tokens.new_secret()
        command = BeginSession(
            session_id=service.new_id(),
            user_id=user.user_id,
            password_hash=user.password_hash,
            token_hash=tokens.hash_of(secret),
        )
        await service.ask(command)
        return await _answer(service, user, command.session_id, secret)

    @post(
        "/refresh",
        status_code=200,
        summary="Replace a refresh token",
        guards=[PUBLIC],
        opt=records_for_others("TOKEN_REFRESH", on="sessionId", learn=_learn_refresh),
        responses=refusals(TOKEN_INVALID, TOKEN_REUSED, TOKEN_JUST_ROTATED, body=True),
        response_headers=[SET_COOKIE],
    )
    async def refresh(self, data: JSONBody[RefreshToken], service: UserService) -> Response[Tokens]:
        """A token is used once. A second use ends the session, unless it comes within 10 s."""
        session_id, presented = tokens.split(data.refresh_token)
        secret = tokens.new_secret()
        command = RefreshSession(
            session_id=session_id,
            presented_hash=presented,
            token_hash=tokens.hash_of(secret),
        )
        refreshed: Refreshed = (await service.ask(command)).result
        if refreshed.user is None:
            raise not_refreshed(refreshed.presented)
        return await _answer(service, refreshed.user, session_id, secret)

    @post(
        "/logout",
        status_code=204,
        summary="Sign out",
        guards=[PUBLIC],
        opt=records("SIGN_OUT", on="sessionId", learn=_learn_session),
        responses=refusals(TOKEN_INVALID, body=True)
        | {204: ResponseSpec(None, description="Signed out")},
        response_headers=[SET_COOKIE],
    )
    async def log_out(self, data: JSONBody[RefreshToken], service: UserService) -> Response[None]:
        """Ends the session. Idempotent: a token that is not valid any more is accepted too."""
        session_id, presented = tokens.split(data.refresh_token)
        await service.ask(EndSession(session_id=session_id, presented_hash=presented))
        return Response(None, cookies=[cookie("", 0, secure=service.settings.behind_tls)])


async def _answer(
    service: Service[UserUnitOfWork], user: User, session_id: str, secret: str
) -> Response[Tokens]:
    assert isinstance(service.settings, Settings)
    now = service.clock()
    async with service.reading() as connection:
        key = await keys.signing_key(connection, now)
    access = tokens.access_token(user, session_id, key, now, service.settings.auth_issuer)
    seconds = int(ACCESS_LIFE.total_seconds())
    view = Tokens(
        access_token=access,
        refresh_token=tokens.refresh_token(session_id, secret),
        expires_in=seconds,
    )
    of_browser = cookie(access, seconds, secure=service.settings.behind_tls)
    return Response(view, cookies=[of_browser])


ROUTES = [AuthController]
