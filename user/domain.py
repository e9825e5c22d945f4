"""Accounts, sessions and signing keys. Pure: no clock, no I/O, no framework.

A session begins with a password and lives by its refresh token, which each use replaces:

    ACTIVE --use of the newest token--> ACTIVE, with another token
      |----use of an older token------> ENDED: there is a copy of it
      `----logout, another password---> ENDED

An account is erased in steps:

    ACTIVE --erase--> ERASING (the others erase their copies) --> PURGING (the broker) --> ERASED

In ERASING already nothing personal is left in this service: the row is its id alone.

A signing key is published before it signs, and trusted until every token of it has expired.
"""

import unicodedata
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from saga.errors import Invalid
from user.common_passwords import COMMON_PASSWORDS

MIN_PASSWORD_LENGTH = 8
MAX_PASSWORD_LENGTH = 128
SESSION_LIFE = timedelta(days=30)
"""Since the last use of its refresh token."""

RACE = timedelta(seconds=10)
"""A token that was replaced so recently was used twice at once, by one client, and not stolen."""

ACCESS_LIFE = timedelta(minutes=10)
KEY_LEAD = timedelta(minutes=1)
"""A new key signs so long after it was published: by then every service has it."""


class UserState(StrEnum):
    ACTIVE = "ACTIVE"
    ERASING = "ERASING"
    PURGING = "PURGING"
    ERASED = "ERASED"


UNSETTLED: frozenset[str] = frozenset({UserState.ERASING, UserState.PURGING})
"""The states of an erasure that is not done."""

SETTLE = timedelta(seconds=15)
"""So long after the first purge nothing of the person is on its way to the broker any more."""


class User(msgspec.Struct, frozen=True, kw_only=True):
    """An account. `email` in its normal form. `roles`: names, separated by blanks.

    Of an erased one only the id is left, which is in place of its address.
    """

    user_id: str
    email: str
    name: str
    password_hash: str
    roles: str
    state: UserState
    created_at: datetime
    updated_at: datetime

    @property
    def is_active(self) -> bool:
        return self.state is UserState.ACTIVE

    def change(self, now: datetime, **changes: object) -> "User":
        return msgspec.structs.replace(self, updated_at=now, **changes)


def erased_user(user_id: str, created_at: datetime, now: datetime) -> User:
    """The row that stays of an account, so that its id is known as erased."""
    return User(
        user_id=user_id,
        email=user_id,
        name="",
        password_hash="",
        roles="",
        state=UserState.ERASING,
        created_at=created_at,
        updated_at=now,
    )


class SessionState(StrEnum):
    """An ENDED session can't be refreshed."""

    ACTIVE = "ACTIVE"
    ENDED = "ENDED"


class Presented(StrEnum):
    """What a refresh token that a client sends is, for its session."""

    NEWEST = "NEWEST"
    JUST_REPLACED = "JUST_REPLACED"
    REUSED = "REUSED"
    INVALID = "INVALID"


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A family of refresh tokens, each of which replaced the one before; only hashes are kept."""

    session_id: str
    user_id: str
    state: SessionState
    token_hash: str
    previous_hash: str | None
    created_at: datetime
    updated_at: datetime

    def judge(self, token_hash: str, now: datetime) -> Presented:
        """`updated_at` is when the newest token replaced the one before it."""
        if self.state is SessionState.ENDED or now - self.updated_at > SESSION_LIFE:
            return Presented.INVALID
        if token_hash == self.token_hash:
            return Presented.NEWEST
        if token_hash == self.previous_hash and now - self.updated_at <= RACE:
            return Presented.JUST_REPLACED
        return Presented.REUSED

    def rotate(self, token_hash: str, now: datetime) -> "Session":
        return msgspec.structs.replace(
            self, token_hash=token_hash, previous_hash=self.token_hash, updated_at=now
        )

    def end(self, now: datetime) -> "Session":
        return msgspec.structs.replace(self, state=SessionState.ENDED, updated_at=now)


class SigningKey(msgspec.Struct, frozen=True, kw_only=True):
    """An Ed25519 key pair, both halves as the `d` and `x` of a JSON Web Key (RFC 8037)."""

    key_id: str
    private_key: str
    public_key: str
    created_at: datetime
    signs_from: datetime
    signs_until: datetime

    @property
    def trusted_until(self) -> datetime:
        """When the last token that it has signed expires."""
        return self.signs_until + ACCESS_LIFE

    def signs(self, now: datetime) -> bool:
        return self.signs_from <= now < self.signs_until


def normal_email(text: str) -> str:
    """The form in which two spellings of one address are equal. Raises Invalid."""
    email = unicodedata.normalize("NFKC", text).casefold()
    local, at, host = email.rpartition("@")
    is_plain = not any(each.isspace() or not each.isprintable() for each in email)
    if not (at and local and host and is_plain and "@" not in local):
        raise Invalid.field("email", "send an address such as name@example.com")
    return email


def check_password(password: str, *others: str, key: str = "password") -> None:
    """Raises Invalid for a password that is too easy to guess. `others`: what it may not equal.

    `key`: the name of its field.
    """
    folded = unicodedata.normalize("NFKC", password).casefold()
    if not MIN_PASSWORD_LENGTH <= len(password) <= MAX_PASSWORD_LENGTH:
        reason = f"a password has {MIN_PASSWORD_LENGTH} to {MAX_PASSWORD_LENGTH} characters"
    elif folded in COMMON_PASSWORDS or len(set(folded)) == 1:
        reason = "this password is one of the first that an attacker tries"
    elif folded in {each.casefold() for each in others}:
        reason = "a password is neither the name nor the address"
    else:
        return
    raise Invalid.field(key, f"{reason}; choose another one", code="WEAK_PASSWORD")
