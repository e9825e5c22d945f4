"""The commands of the user service, and the refusals that they are answered with.

Passwords are hashed and secrets made before a command: it carries hashes alone.
"""

import msgspec

from saga.errors import Conflict, Invalid, NotFound, Refused, Unauthorized
from user.addresses import MAX_ADDRESSES
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


class AddAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Add an address to a user's book. The first one becomes the default."""

    address_id: str
    user_id: str
    label: str
    street: str
    postal_code: str
    city: str
    is_default: bool


class ChangeAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Change the fields of an address that are not None."""

    address_id: str
    user_id: str
    label: str | None = None
    street: str | None = None
    postal_code: str | None = None
    city: str | None = None
    is_default: bool | None = None


class DeleteAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Delete an address from a user's book."""

    address_id: str
    user_id: str


class EraseUser(msgspec.Struct, frozen=True, kw_only=True):
    """Erase all personal data of a user. Idempotent: once it is done, the broker is purged again.

    `may_be_unknown`: the account was lost with a database, and others may still hold some.
    """

    user_id: str
    may_be_unknown: bool = False


class PurgeAgain(msgspec.Struct, frozen=True, kw_only=True):
    """An erasure's first purge has settled, or was lost."""

    user_id: str


class EndErasure(msgspec.Struct, frozen=True, kw_only=True):
    """The broker was purged."""

    user_id: str


class AddKey(msgspec.Struct, frozen=True, kw_only=True):
    """Add a signing key, unless one that is newer than `signs_seconds` allows is there."""

    key_id: str
    private_key: str
    public_key: str
    signs_seconds: int


class Refreshed(msgspec.Struct, frozen=True, kw_only=True):
    """`session` where there is one, `user` where the token was the newest one."""

    presented: Presented
    session: Session | None = None
    user: User | None = None


# ---------------------------------------------------------------- refusals


def no_user(user_id: str) -> NotFound:
    return NotFound(f"there is no user {user_id}", code="USER_NOT_FOUND")


def no_address(address_id: str) -> NotFound:
    return NotFound(f"there is no address {address_id}", code="ADDRESS_NOT_FOUND")


def address_book_full() -> Refused:
    return Refused(
        f"an address book holds at most {MAX_ADDRESSES} addresses; delete one first",
        code="ADDRESS_BOOK_FULL",
        values={"max": MAX_ADDRESSES},
    )


def no_default() -> Invalid:
    return Invalid("isDefault: one address is the default; make another one the default instead")


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
