"""The error codes that clients can get: of every service here, of one service in its `errors.py`.

They are an enum in the OpenAPI documents, and docs/errors.md is written from them.
"""

from types import ModuleType
from typing import NamedTuple


class ErrorCode(NamedTuple):
    """`when` the client gets it, and what its `action` can be. Sentences."""

    code: str
    status: int
    when: str
    action: str


def codes_of(module: ModuleType) -> list[ErrorCode]:
    """The codes that a module defines, such as a service's `errors.py`."""
    return [each for each in vars(module).values() if isinstance(each, ErrorCode)]


VALIDATION_ERROR = ErrorCode(
    "VALIDATION_ERROR",
    400,
    "A field, parameter or header is missing, unknown, or has a value that is not allowed.",
    "Correct what `details.problems` or the message names.",
)
INVALID_REQUEST = ErrorCode(
    "INVALID_REQUEST",
    400,
    "The HTTP request itself can't be read.",
    "Correct the request; the message names the reason.",
)
UNAUTHENTICATED = ErrorCode(
    "UNAUTHENTICATED",
    401,
    "The route is not public, and the request carries no token, or a wrong operators' token.",
    "Send `Authorization: Bearer <access token>`, or the OPS_TOKEN for an operators' route.",
)
TOKEN_EXPIRED = ErrorCode(
    "TOKEN_EXPIRED",
    401,
    "The access token has expired.",
    "Refresh it: `POST /api/v1/auth/refresh`.",
)
TOKEN_INVALID = ErrorCode(
    "TOKEN_INVALID",
    401,
    "The token is forged, malformed, or its session is over.",
    "Sign in again.",
)
FORBIDDEN = ErrorCode(
    "FORBIDDEN", 403, "The caller may not do this.", "Ask a person whose role permits it."
)
NOT_FOUND = ErrorCode(
    "NOT_FOUND", 404, "There is no such route.", "Compare the path with the service's `/schema`."
)
USER_NOT_FOUND = ErrorCode(
    "USER_NOT_FOUND",
    404,
    "There is no user of this id, or it is another one than the caller.",
    "Check the id, and who is signed in.",
)
DEAD_LETTER_NOT_FOUND = ErrorCode(
    "DEAD_LETTER_NOT_FOUND",
    404,
    "The service has no dead letter of this id.",
    "List them: `GET /api/v1/ops/dead-letters`.",
)
METHOD_NOT_ALLOWED = ErrorCode(
    "METHOD_NOT_ALLOWED",
    405,
    "The route exists, but not with this method.",
    "Use a method that the header `Allow` names.",
)
DEAD_LETTER_DONE = ErrorCode(
    "DEAD_LETTER_DONE",
    409,
    "The dead letter is DISMISSED, or REDRIVEN and can't be dismissed.",
    "Nothing is left to do with it.",
)
CONFLICT = ErrorCode(
    "CONFLICT",
    409,
    "Another request changed the same thing first.",
    "Read it again, and decide then.",
)
NOT_IN_RECOVERY_MODE = ErrorCode(
    "NOT_IN_RECOVERY_MODE",
    409,
    "A booking of what a restored database lacks, outside of recovery mode.",
    "Start the service in recovery mode first (docs/operations.md).",
)
BODY_TOO_LARGE = ErrorCode(
    "BODY_TOO_LARGE",
    413,
    "The body is larger than the limit, which the message names.",
    "Send a smaller body.",
)
UNSUPPORTED_MEDIA_TYPE = ErrorCode(
    "UNSUPPORTED_MEDIA_TYPE",
    415,
    "The body is not JSON, is compressed, or is a form that a page of another site may have sent.",
    "Send JSON with `Content-Type: application/json`, and without Content-Encoding.",
)
IDEMPOTENCY_KEY_REUSED = ErrorCode(
    "IDEMPOTENCY_KEY_REUSED",
    422,
    "The Idempotency-Key was used for another request before.",
    "Send a new key for a new request, and the old key only with the same request.",
)
DEPENDENCY_FAILED = ErrorCode(
    "DEPENDENCY_FAILED",
    424,
    "Another participant refused; everything is as it was.",
    "Read the message; the request can be sent again later.",
)
INTERNAL_ERROR = ErrorCode(
    "INTERNAL_ERROR",
    500,
    "A fault of the service; it is logged there.",
    "Send it again later, with the same Idempotency-Key; report it if it stays.",
)
EXTERNAL_SYSTEM_FAILED = ErrorCode(
    "EXTERNAL_SYSTEM_FAILED",
    502,
    "An external system refused, or did not answer in time.",
    "Send it again later.",
)
RETRY_LATER = ErrorCode(
    "RETRY_LATER",
    503,
    "Overload, or an outage of something that the service needs.",
    "Send the same request again after `Retry-After` seconds, with the same Idempotency-Key.",
)
