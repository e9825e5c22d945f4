"""The commands of the user service, and the refusals that they are answered with.

Passwords are hashed and secrets made before a command: it carries hashes alone.
"""

import msgspec

from saga.errors import Conflict, NotFound, Unauthorized
from user.domain import Presented, Session, User


class RegisterUser(msgspec.Struct, frozen=True, kw_only=True):
    """Sign a user up. `email` in its normal form; `roles` separated by blanks."""

    user_id: str
    email: str
    name: str
    password_hash: str
    roles: str


class RenameUser(msgspec.Struct, frozen=True, kw_only=True):
    """Change the name that a user is called by."""

    user_id: str
    name: str


class BeginSession(msgspec.Struct, frozen=True, kw_only=True):
    """Sign a user in whose password was checked against `password_hash`."""

    session_id: str
    user_id: str
    password_hash: str
    token_hash: str


class RefreshSession(msgspec.Struct, frozen=True, kw_only=True):
    """Replace a refresh token by a new one."""

    session_id: str
    presented_hash: str
    token_hash: str


class EndSession(msgspec.Struct, frozen=True, kw_only=True):
    """Sign out. Idempotent."""

    session_id: str
    presented_hash: str


class ChangePassword(msgspec.Struct, frozen=True, kw_only=True):
    """Replace a password that was checked against `password_hash`, and end the other sessions."""

    user_id: str
    password_hash: str
    new_hash: str
    kept_session_id: str | None


class AddKey(msgspec.Struct, frozen=True, kw_only=True):
    """Add a signing key, unless one that is newer than `signs_seconds` allows is there."""

    key_id: str
    private_key: str
    public_key: str
    signs_seconds: int


class Refreshed(msgspec.Struct, frozen=True, kw_only=True):
    """`session` and `user` where the token was the newest one."""

    presented: Presented
    session: Session | None = None
    user: User | None = None


# ---------------------------------------------------------------- refusals


def no_user(user_id: str) -> NotFound:
    return NotFound(f"there is no user {user_id}", code="USER_NOT_FOUND")


def user_exists() -> Conflict:
    return Conflict("a user with this address is there already; sign in", code="USER_EXISTS")


def bad_credentials() -> Unauthorized:
    return Unauthorized("the address or the password is wrong", code="BAD_CREDENTIALS")


def wrong_password() -> Unauthorized:
    return Unauthorized("the current password is another one", code="BAD_CREDENTIALS")


def not_refreshed(presented: Presented) -> Conflict | Unauthorized:
    """The answer for a refresh token that is not the newest one."""
    if presented is Presented.JUST_REPLACED:
        message = "another request has just used this token; use the one that it got"
        return Conflict(message, code="TOKEN_JUST_ROTATED")
    if presented is Presented.REUSED:
        message = "this token was used before: its session is over; sign in again"
        return Unauthorized(message, code="TOKEN_REUSED")
    return Unauthorized("this token is unknown, or its session is over", code="TOKEN_INVALID")
