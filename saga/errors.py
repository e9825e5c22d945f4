"""The errors of a participant, one small tree.

    SagaError
    ├── Refused                    a rule says no: the client's answer, not a fault
    │   ├── Invalid                400  the request can't be meant like this
    │   ├── Unauthorized           401  the caller is not signed in, or the token is of no use
    │   ├── Forbidden              403  the caller may not do this
    │   ├── NotFound               404
    │   ├── Conflict               409  another request was first
    │   ├── UnsupportedMediaType   415  the body is not JSON
    │   ├── KeyReused              422  an Idempotency-Key came back with another request
    │   ├── TooManyRequests        429  the caller has to wait
    │   ├── DependencyFailed       424  another participant refused
    │   └── ExternalSystemFailed   502  an external system declined, or gave no answer in time
    ├── RetryLater                 503  an outage or overload: the request itself is fine
    ├── ConfigurationError         the process can't start like this
    └── Outage                     503  something needed is away: the same work succeeds later
        └── BrokerAway             503  the broker can't be asked now

`chassis.web.errors` translates them to HTTP, and nothing else does. `code` is stable and meant for
programs, the message says what to do, `details` is None or an object. `values` are what the message
mentions beside its details, by name, for a message in another language. The processor waits an
Outage out; a client that waits too long gets RetryLater.
"""

from collections.abc import Mapping
from typing import Any, ClassVar


class SagaError(Exception):
    """The root. `status_code` is the HTTP status that the edge answers with."""

    status_code: ClassVar[int] = 500
    code = "INTERNAL_ERROR"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        details: Mapping[str, Any] | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.details = details
        self.values = values or {}


class Refused(SagaError):
    status_code = 400
    code = "INVALID_REQUEST"


class Invalid(Refused):
    code = "VALIDATION_ERROR"

    @classmethod
    def field(
        cls, key: str, message: str, *, source: str = "body", code: str | None = None
    ) -> "Invalid":
        """For one field, parameter or header. `source`: "body", "query" or "header"."""
        problem = {"message": message, "key": key, "source": source}
        return cls(f"{key}: {message}", code=code, details={"problems": [problem]})


class Unauthorized(Refused):
    status_code = 401
    code = "UNAUTHENTICATED"


class Forbidden(Refused):
    status_code = 403
    code = "FORBIDDEN"


class NotFound(Refused):
    status_code = 404
    code = "NOT_FOUND"


class Conflict(Refused):
    status_code = 409
    code = "CONFLICT"


class UnsupportedMediaType(Refused):
    status_code = 415
    code = "UNSUPPORTED_MEDIA_TYPE"


class KeyReused(Refused):
    status_code = 422
    code = "IDEMPOTENCY_KEY_REUSED"


class TooManyRequests(Refused):
    """`retry_after_seconds` becomes the Retry-After header."""

    status_code = 429
    code = "TOO_MANY_REQUESTS"

    def __init__(self, message: str, *, code: str | None = None, retry_after_seconds: int) -> None:
        super().__init__(message, code=code)
        self.retry_after_seconds = retry_after_seconds


class DependencyFailed(Refused):
    status_code = 424
    code = "DEPENDENCY_FAILED"


class ExternalSystemFailed(Refused):
    status_code = 502
    code = "EXTERNAL_SYSTEM_FAILED"


class RetryLater(SagaError):
    """`retry_after_seconds` becomes the Retry-After header."""

    status_code = 503
    code = "RETRY_LATER"

    def __init__(self, message: str, *, retry_after_seconds: int = 1) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class ConfigurationError(SagaError):
    code = "CONFIGURATION"


class Outage(SagaError):
    status_code = 503
    code = "RETRY_LATER"


class BrokerAway(Outage):
    """Raised where the broker is asked; publishing waits instead."""
