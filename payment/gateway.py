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

from chassis.ports import CarryOut, Clock
from chassis.settings import Settings
from payment.domain import ERRAND_SECONDS, Payment, Stray
from payment.external_calls import Action, Errand, GatewayDecided, Outcome, TopUpDecided
from saga.errors import Outage

log = logging.getLogger(__name__)

CALL_TIMEOUT_SECONDS = 5.0
GIVE_UP_SECONDS = ERRAND_SECONDS - 2 * CALL_TIMEOUT_SECONDS
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 3.0
FAILURES_TO_OPEN = 10
REST_SECONDS = 3
KEY_RETENTION_SECONDS = 23 * 3600
"""The gateway remembers a key for 24 hours. Later, a charge under it would be a new one."""

_CHARGES = {each.value: each for each in (Outcome.CAPTURED, Outcome.DECLINED, Outcome.VOIDED)}
_REFUNDS = {"REFUNDED": Outcome.REFUNDED, "REFUSED": Outcome.REFUND_REFUSED}


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


def connect(settings: Settings, clock: Clock) -> CarryOut:
    """The gateway that PAYMENT_GATEWAY_URL names; without one, cards are declined."""
    url = settings.payment_gateway_url
    return HttpGateway(url, clock) if url else NoGateway()


class NoGateway:
    """Nobody takes cards here."""

    async def __call__(self, errand: Errand) -> GatewayDecided | TopUpDecided:
        charge = errand.action is Action.CHARGE
        void = Outcome.VOIDED if errand.action is Action.VOID else Outcome.REFUND_REFUSED
        return errand.decided(Outcome.DECLINED if charge else void)

    def told(self, answer: object) -> None:
        """Nothing can be wrong with it."""

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

    async def __call__(self, errand: Errand) -> GatewayDecided | TopUpDecided:
        """Raises Outage when the outcome is still not known after `GIVE_UP_SECONDS`."""
        attempts = AsyncRetrying(
            stop=stop_after_delay(GIVE_UP_SECONDS),
            wait=wait_exponential_jitter(
                multiplier=FIRST_PAUSE_SECONDS,
                max=LONGEST_PAUSE_SECONDS,
                jitter=FIRST_PAUSE_SECONDS,
            ),
            retry=retry_if_exception_type((Unknown, CircuitBreakerError)),
        )
        try:
            return errand.decided(await attempts(self._decide, errand))
        except RetryError as error:
            cause = error.last_attempt.exception()
            raise Outage(f"{errand.action} {errand.key}: {cause}") from cause

    def told(self, answer: object) -> None:
        if isinstance(answer, Payment) and answer.stray is Stray.RETURNING:
            log.error(
                "money was captured for a payment that had failed; it goes back",
                extra={"orderId": answer.order_id, "amount": answer.amount},
            )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _decide(self, errand: Errand) -> Outcome:
        match errand.action:
            case Action.CHARGE if self._is_remembered(errand):
                return await self._charge(errand)
            case Action.CHARGE:
                return await self._inquire(errand)
            case Action.VOID:
                return await self._void(errand)
            case Action.REFUND:
                return await self._refund(errand)

    def _is_remembered(self, errand: Errand) -> bool:
        return self._clock() - errand.began_at < timedelta(seconds=KEY_RETENTION_SECONDS)

    async def _charge(self, errand: Errand) -> Outcome:
        body = {
            "amount": errand.amount,
            "customerId": errand.customer_id,
            "reference": errand.subject,
        }
        status, said = await self._call(HTTPMethod.POST, "/v1/charges", errand.key, body)
        if status in (200, 402, 409):
            return _known(said)
        raise Unknown(f"answered {status}")

    async def _inquire(self, errand: Errand) -> Outcome:
        status, said = await self._call(HTTPMethod.GET, f"/v1/charges/{errand.key}", errand.key)
        if status == 404:
            return await self._void(errand)
        if status == 200:
            return _known(said)
        raise Unknown(f"answered {status}")

    async def _void(self, errand: Errand) -> Outcome:
        path = f"/v1/charges/{errand.key}/void"
        status, said = await self._call(HTTPMethod.POST, path, errand.key)
        if status in (200, 409):
            return _known(said)
        raise Unknown(f"answered {status}")

    async def _refund(self, errand: Errand) -> Outcome:
        path, body = f"/v1/charges/{errand.key}/refunds", {"amount": errand.amount}
        status, said = await self._call(HTTPMethod.POST, path, errand.refund_key, body)
        if status in (200, 409) and said in _REFUNDS:
            return _REFUNDS[said]
        raise Unknown(f"answered {status} {said}")

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


def _known(status: str) -> Outcome:
    if status not in _CHARGES:
        raise Unknown(f"said {status!r}")
    return _CHARGES[status]


def _read(content: bytes) -> _Reply:
    try:
        return _decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unknown(f"the answer can't be read: {error}") from error
