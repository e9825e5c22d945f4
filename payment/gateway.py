"""The payment gateway over HTTP: executes external calls, and retries unknown outcomes.

A time-out, a 5xx or a broken connection is no decision: the money may have been captured. So the
same call is retried under the same key, with growing pauses, for about as long as an external call
may last; after that the timer begins it again. "Not found" is no decision either: a charge in
flight can still land. Only a void, which fences the key for good, ends a charge that is given up.
"""

from datetime import timedelta
from http import HTTPMethod
from typing import Any

import msgspec
from tenacity import (
    AsyncRetrying,
    RetryError,
    retry_if_exception_type,
    stop_after_delay,
    wait_exponential_jitter,
)

from chassis.outbound import OutboundClient, Unavailable
from chassis.ports import Clock, ExternalSystem
from payment.commands import SettlePayment, SettleTopUp
from payment.domain import GatewayOutcome
from payment.external_calls import EXTERNAL_CALL_SECONDS, Action, GatewayCall
from payment.settings import Settings
from saga.errors import Outage

CALL_TIMEOUT_SECONDS = 5.0
GIVE_UP_SECONDS = EXTERNAL_CALL_SECONDS - 2 * CALL_TIMEOUT_SECONDS
FIRST_PAUSE_SECONDS = 0.1
MAX_PAUSE_SECONDS = 3.0
FAILURES_TO_OPEN = 10
RECOVERY_SECONDS = 3
KEY_RETENTION_SECONDS = 23 * 3600
"""The gateway remembers a key for 24 hours. Later, a charge under it would be a new one."""

_CHARGES = {
    each.value: each
    for each in (GatewayOutcome.CAPTURED, GatewayOutcome.DECLINED, GatewayOutcome.VOIDED)
}
_REFUNDS = {"REFUNDED": GatewayOutcome.REFUNDED, "REFUSED": GatewayOutcome.REFUND_REFUSED}


class _Reply(msgspec.Struct):
    """`key` names the charge or refund that the answer is about.

    On a reused connection, the second answer of a gateway that answers twice is read as the answer
    to the next call: without this check it would decide another customer's payment.
    """

    key: str = ""
    status: str = ""


_decode = msgspec.json.Decoder(_Reply).decode


def connect(settings: Settings, clock: Clock) -> ExternalSystem:
    """The gateway that PAYMENT_GATEWAY_URL names; without one, cards are declined."""
    url = settings.payment_gateway_url
    return HttpGateway(url, clock) if url else NoGateway()


_WITHOUT_GATEWAY = {
    Action.CHARGE: GatewayOutcome.DECLINED,
    Action.VOID: GatewayOutcome.VOIDED,
    Action.REFUND: GatewayOutcome.REFUND_REFUSED,
}


class NoGateway:
    """Declines every charge."""

    async def __call__(self, call: GatewayCall) -> SettlePayment | SettleTopUp:
        return call.command(_WITHOUT_GATEWAY[call.action])

    async def close(self) -> None:
        """There is nothing to close."""


class HttpGateway:
    """`url` is the gateway's address. One circuit breaker guards all calls: while the gateway is
    down, few calls are made, and external calls hold no connections."""

    def __init__(self, url: str, clock: Clock) -> None:
        self._url = url
        self._clock = clock
        self._client = OutboundClient(
            "the payment gateway",
            timeout_seconds=CALL_TIMEOUT_SECONDS,
            failures_to_open=FAILURES_TO_OPEN,
            recovery_seconds=RECOVERY_SECONDS,
        )

    @property
    def breaker_is_open(self) -> bool:
        return self._client.breaker_is_open

    async def __call__(self, call: GatewayCall) -> SettlePayment | SettleTopUp:
        """Raises Outage when the outcome is still unknown after `GIVE_UP_SECONDS`."""
        attempts = AsyncRetrying(
            stop=stop_after_delay(GIVE_UP_SECONDS),
            wait=wait_exponential_jitter(
                multiplier=FIRST_PAUSE_SECONDS,
                max=MAX_PAUSE_SECONDS,
                jitter=FIRST_PAUSE_SECONDS,
            ),
            retry=retry_if_exception_type(Unavailable),
        )
        try:
            return call.command(await attempts(self._decide, call))
        except RetryError as error:
            cause = error.last_attempt.exception()
            raise Outage(f"{call.action} {call.key}: {cause}") from cause

    async def close(self) -> None:
        await self._client.close()

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
        code, status = await self._call(HTTPMethod.POST, "/v1/charges", call.key, body)
        if code in (200, 402, 409):
            return _decision(status)
        raise Unavailable(f"answered {code}")

    async def _inquire(self, call: GatewayCall) -> GatewayOutcome:
        code, status = await self._call(HTTPMethod.GET, f"/v1/charges/{call.key}", call.key)
        if code == 404:
            return await self._void(call)
        if code == 200:
            return _decision(status)
        raise Unavailable(f"answered {code}")

    async def _void(self, call: GatewayCall) -> GatewayOutcome:
        path = f"/v1/charges/{call.key}/void"
        code, status = await self._call(HTTPMethod.POST, path, call.key)
        if code in (200, 409):
            return _decision(status)
        raise Unavailable(f"answered {code}")

    async def _refund(self, call: GatewayCall) -> GatewayOutcome:
        path, body = f"/v1/charges/{call.key}/refunds", {"amount": call.amount}
        code, status = await self._call(HTTPMethod.POST, path, call.refund_key, body)
        if code in (200, 409) and status in _REFUNDS:
            return _REFUNDS[status]
        raise Unavailable(f"answered {code} {status}")

    async def _call(
        self, method: HTTPMethod, path: str, key: str, body: Any = None
    ) -> tuple[int, str]:
        """The status code and the body's `status`. Raises Unavailable."""
        headers = {"Idempotency-Key": key}
        async with self._client.request(
            method, f"{self._url}{path}", json=body, headers=headers
        ) as answer:
            content = await answer.read()
            if answer.status >= 500:
                raise Unavailable(f"answered {answer.status}")
            reply = _parse(content)
            if answer.status != 404 and reply.key != key:
                await self._client.close()
                raise Unavailable(f"the answer is about {reply.key!r}")
            return answer.status, reply.status


def _decision(status: str) -> GatewayOutcome:
    if status not in _CHARGES:
        raise Unavailable(f"answered {status!r}")
    return _CHARGES[status]


def _parse(content: bytes) -> _Reply:
    try:
        return _decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unavailable(f"the answer is malformed: {error}") from error
