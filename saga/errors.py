"""The errors of this system, one small tree.

    ShopError
    ├── Refused                    a rule says no: the client's answer, not a fault
    │   ├── Invalid                400  what was sent can't be meant
    │   ├── Unauthorized           401  the operators' token is missing or wrong
    │   ├── NotFound               404
    │   ├── Conflict               409  someone else was first
    │   ├── UnsupportedMediaType   415  the body is not JSON
    │   ├── KeyReused              422  an Idempotency-Key came back with another request
    │   ├── DependencyFailed       424  somebody whose consent is needed has refused
    │   └── GatewayFailed          502  the payment gateway refused, or did not answer in time
    ├── RetryLater                 503  an outage or too much work: the request itself is fine
    └── ConfigurationError         the process can't start like this

They are translated to HTTP at the edge (`chassis.web.app`) and nowhere else. `code` is stable and
meant for programs, the message says what to do, `details` is None or an object.
"""

from collections.abc import Mapping
from typing import Any, ClassVar


class ShopError(Exception):
    status_code: ClassVar[int] = 500
    code = "INTERNAL_ERROR"

    def __init__(
        self, message: str, *, code: str | None = None, details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.details = details


class Refused(ShopError):
    status_code = 400
    code = "INVALID_REQUEST"


class Invalid(Refused):
    code = "VALIDATION_ERROR"


class Unauthorized(Refused):
    status_code = 401
    code = "UNAUTHORIZED"


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


class DependencyFailed(Refused):
    status_code = 424
    code = "DEPENDENCY_FAILED"


class GatewayFailed(Refused):
    status_code = 502
    code = "PAYMENT_GATEWAY_FAILED"


class RetryLater(ShopError):
    """`retry_after_seconds` becomes the Retry-After header."""

    status_code = 503
    code = "RETRY_LATER"

    def __init__(self, message: str, *, retry_after_seconds: int = 1) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class ConfigurationError(ShopError):
    code = "CONFIGURATION"


class Outage(Exception):
    """What is needed can't be reached or can't write now; the same work will do later.

    It stays inside: it is waited out, and a client who waits too long gets RetryLater.
    """


class BrokerAway(Outage):
    """The broker can't be asked now."""
