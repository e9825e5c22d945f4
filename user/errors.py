"""The user service's own error codes, as clients get them."""

from chassis.web.error_codes import USER_NOT_FOUND, ErrorCode

__all__ = ["USER_NOT_FOUND"]
"""A code of every service, which names users too."""

ADDRESS_BOOK_FULL = ErrorCode(
    "ADDRESS_BOOK_FULL", 400, "The address book holds 20 addresses already.", "Delete one first."
)
ADDRESS_NOT_FOUND = ErrorCode(
    "ADDRESS_NOT_FOUND", 404, "The user has no address of this id.", "Read the address book."
)
USER_EXISTS = ErrorCode(
    "USER_EXISTS", 409, "A user with this address is there already.", "Sign in."
)
WEAK_PASSWORD = ErrorCode(
    "WEAK_PASSWORD",
    400,
    "The password is too short or too long, or one of the first that an attacker tries.",
    "Choose another one.",
)
BAD_CREDENTIALS = ErrorCode(
    "BAD_CREDENTIALS", 401, "The address or the password is wrong.", "Correct them."
)
TOKEN_INVALID = ErrorCode(
    "TOKEN_INVALID", 401, "The token is unknown, or its session is over.", "Sign in again."
)
TOKEN_REUSED = ErrorCode(
    "TOKEN_REUSED",
    401,
    "The refresh token was used before, so there may be a copy of it. The session is over.",
    "Sign in again.",
)
TOKEN_JUST_ROTATED = ErrorCode(
    "TOKEN_JUST_ROTATED",
    409,
    "Another request used the same refresh token within the last 10 s.",
    "Use the token that it got.",
)
TOO_MANY_TRIES = ErrorCode(
    "TOO_MANY_TRIES",
    429,
    "The account, or the client's address, has had too many wrong passwords, or the address too "
    "many sign-ups with addresses that are taken.",
    "Wait for `Retry-After`.",
)
