"""The payment gateway over HTTP: carries out errands, and knows when an outcome is not known.

An answer that is no decision (a time-out, a 5xx, a broken connection) says nothing about the money:
it may have been captured. So the same call is made again under the same key, with growing pauses,
for about as long as the errand may last; the timer sends for it again after that. "Not found" is no
proof either: a charge in flight can still land. Only a void, which fences the key for good, ends a
charge that is given up.
"""

import logging
from datetime import timedelta
from http import HTTPMethod
from typing import Any

import aiohttp
import msgspec
from circuitbreaker import CircuitBreaker, CircuitBreakerError
from tenacity import (
    AsyncRetrying,
    RetryError,
    retry_if_exception_type,
    stop_after_delay,
    wait_exponential_jitter,
)

from chassis.ports import Clock, ExternalSystem
from payment.domain import EXTERNAL_CALL_SECONDS
from payment.external_calls import Action, GatewayCall, GatewayDecided, GatewayOutcome, TopUpDecided
from payment.settings import Settings
from saga.errors import Outage

log = logging.getLogger(__name__)

CALL_TIMEOUT_SECONDS = 5.0
GIVE_UP_SECONDS = EXTERNAL_CALL_SECONDS - 2 * CALL_TIMEOUT_SECONDS
FIRST_PAUSE_SECONDS = 0.1
MAX_PAUSE_SECONDS = 3.0
FAILURES_TO_OPEN = 10
REST_SECONDS = 3
KEY_RETENTION_SECONDS = 23 * 3600
"""The gateway remembers a key for 24 hours. Later, a charge under it would be a new one."""

_CHARGES = {
    each.value: each
    for each in (GatewayOutcome.CAPTURED, GatewayOutcome.DECLINED, GatewayOutcome.VOIDED)
}
_REFUNDS = {"REFUNDED": GatewayOutcome.REFUNDED, "REFUSED": GatewayOutcome.REFUND_REFUSED}


class Unknown(Exception):
    """The gateway gave no decision."""


class _Reply(msgspec.Struct):
    """`key` names the charge or refund that the answer is about.

    On a connection that is used again, a gateway that answers twice leaves its second answer to the
    next question: without this check, somebody else's payment.
    """

    key: str = ""
    status: str = ""


_decode = msgspec.json.Decoder(_Reply).decode


def connect(settings: Settings, clock: Clock) -> ExternalSystem:
    """The gateway that PAYMENT_GATEWAY_URL names; without one, cards are declined."""
    url = settings.payment_gateway_url
    return HttpGateway(url, clock) if url else NoGateway()


class NoGateway:
    """Nobody takes cards here."""

    async def __call__(self, call: GatewayCall) -> GatewayDecided | TopUpDecided:
        charge = call.action is Action.CHARGE
        void = (
            GatewayOutcome.VOIDED if call.action is Action.VOID else GatewayOutcome.REFUND_REFUSED
        )
        return call.decided(GatewayOutcome.DECLINED if charge else void)

    async def close(self) -> None:
        """There is nothing to close."""


class HttpGateway:
    """`url` is the gateway's address. One circuit breaker guards all calls: while the gateway is
    down, few calls are made, and errands don't hold connections."""

    def __init__(self, url: str, clock: Clock) -> None:
        self._url = url
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._breaker = CircuitBreaker(
            failure_threshold=FAILURES_TO_OPEN,
            recovery_timeout=REST_SECONDS,
            expected_exception=Unknown,
            name="payment gateway",
        )

    @property
    def is_resting(self) -> bool:
        """The breaker is open: no call is made for a while."""
        return bool(self._breaker.opened)

    async def __call__(self, call: GatewayCall) -> GatewayDecided | TopUpDecided:
        """Raises Outage when the outcome is still not known after `GIVE_UP_SECONDS`."""
        attempts = AsyncRetrying(
            stop=stop_after_delay(GIVE_UP_SECONDS),
            wait=wait_exponential_jitter(
                multiplier=FIRST_PAUSE_SECONDS,
                max=MAX_PAUSE_SECONDS,
                jitter=FIRST_PAUSE_SECONDS,
            ),
            retry=retry_if_exception_type((Unknown, CircuitBreakerError)),
        )
        try:
            return call.decided(await attempts(self._decide, call))
        except RetryError as error:
            cause = error.last_attempt.exception()
            raise Outage(f"{call.action} {call.key}: {cause}") from cause

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _decide(self, call: GatewayCall) -> GatewayOutcome:
        match call.action:
            case Action.CHARGE if self._is_remembered(call):
                return await self._charge(call)
            case Action.CHARGE:
                return await self._inquire(call)
            case Action.VOID:
                return await self._void(call)
            case Action.REFUND:
                return await self._refund(call)

    def _is_remembered(self, call: GatewayCall) -> bool:
        return self._clock() - call.began_at < timedelta(seconds=KEY_RETENTION_SECONDS)

    async def _charge(self, call: GatewayCall) -> GatewayOutcome:
        body = {
            "amount": call.amount,
            "customerId": call.customer_id,
            "reference": call.subject,
        }
        status, emitted = await self._call(HTTPMethod.POST, "/v1/charges", call.key, body)
        if status in (200, 402, 409):
            return _known(emitted)
        raise Unknown(f"answered {status}")

    async def _inquire(self, call: GatewayCall) -> GatewayOutcome:
        status, emitted = await self._call(HTTPMethod.GET, f"/v1/charges/{call.key}", call.key)
        if status == 404:
            return await self._void(call)
        if status == 200:
            return _known(emitted)
        raise Unknown(f"answered {status}")

    async def _void(self, call: GatewayCall) -> GatewayOutcome:
        path = f"/v1/charges/{call.key}/void"
        status, emitted = await self._call(HTTPMethod.POST, path, call.key)
        if status in (200, 409):
            return _known(emitted)
        raise Unknown(f"answered {status}")

    async def _refund(self, call: GatewayCall) -> GatewayOutcome:
        path, body = f"/v1/charges/{call.key}/refunds", {"amount": call.amount}
        status, emitted = await self._call(HTTPMethod.POST, path, call.refund_key, body)
        if status in (200, 409) and emitted in _REFUNDS:
            return _REFUNDS[emitted]
        raise Unknown(f"answered {status} {emitted}")

    async def _call(
        self, method: HTTPMethod, path: str, key: str, body: Any = None
    ) -> tuple[int, str]:
        """The status code and the body's `status`. Raises Unknown, CircuitBreakerError."""
        if self._breaker.opened:  # `call_async` counts failures, but leaves the looking to us
            raise CircuitBreakerError(self._breaker)
        answer: tuple[int, str] = await self._breaker.call_async(
            self._request, method, path, key, body
        )
        return answer

    async def _request(self, method: HTTPMethod, path: str, key: str, body: Any) -> tuple[int, str]:
        try:
            async with self._open().request(
                method, f"{self._url}{path}", json=body, headers={"Idempotency-Key": key}
            ) as answer:
                content = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unknown(repr(error)) from error
        if answer.status >= 500:
            raise Unknown(f"answered {answer.status}")
        reply = _read(content)
        if answer.status != 404 and reply.key != key:
            await self.close()
            raise Unknown(f"the answer is about {reply.key!r}")
        return answer.status, reply.status

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            timeout = aiohttp.ClientTimeout(total=CALL_TIMEOUT_SECONDS)
            self._session = aiohttp.ClientSession(timeout=timeout)
        return self._session


def _known(status: str) -> GatewayOutcome:
    if status not in _CHARGES:
        raise Unknown(f"said {status!r}")
    return _CHARGES[status]


def _read(content: bytes) -> _Reply:
    try:
        return _decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unknown(f"the answer can't be read: {error}") from error
