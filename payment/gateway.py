"""The payment gateway over HTTP: executes external calls, and retries unknown outcomes.

A time-out, a 5xx, a broken connection or an answer that is none is no decision: the money may have
been captured. So the same call is retried under the same key, with growing pauses or those that
Retry-After asks for, for about as long as an external call may last; after that the timer begins it
again. "Not found" is no decision either: a charge in flight can still land. Only a void, which
fences the key for good, ends a charge that is given up.

A refusal (400, 422 and the like) is definite for its own request alone: an earlier attempt under
the same key may have landed (decision 32). So
- a refused charge is voided at once: it is DECLINED when the void holds, else what it had become;
- a refused refund is REFUND_REFUSED, unless the charge shows that its money is back;
- a refused void fences nothing: it is retried.
401, 403, 404 and 405 are about the shop's access and decide nothing: they are retried and logged.
"""

import logging
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from http import HTTPMethod, HTTPStatus
from typing import Any

import msgspec
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    RetryError,
    retry_if_exception_type,
    stop_before_delay,
    wait_exponential_jitter,
)

from chassis.outbound import (
    OutboundClient,
    Unavailable,
    UnusableAnswer,
    excerpt,
    read_answer,
    retry_after_seconds,
)
from chassis.ports import Clock, ExternalSystem
from payment.commands import SettlePayment, SettleTopUp
from payment.domain import (
    MAX_DETAIL_CHARACTERS,
    MAX_TRANSACTION_ID_CHARACTERS,
    Decision,
    GatewayOutcome,
)
from payment.external_calls import EXTERNAL_CALL_SECONDS, Action, GatewayCall, Purpose
from payment.settings import Settings
from saga.errors import Outage

log = logging.getLogger(__name__)

SYSTEM = "payment_gateway"
CALL_TIMEOUT_SECONDS = 5.0
GIVE_UP_SECONDS = EXTERNAL_CALL_SECONDS - 2 * CALL_TIMEOUT_SECONDS
FIRST_PAUSE_SECONDS = 0.1
MAX_PAUSE_SECONDS = 3.0
MAX_RETRY_AFTER_SECONDS = EXTERNAL_CALL_SECONDS
"""A longer pause than a call may last ends it: its timer begins it again, at the latest then."""

FAILURES_TO_OPEN = 10
RECOVERY_SECONDS = 3
KEY_RETENTION_SECONDS = 23 * 3600
"""The gateway remembers a key for 24 hours. Later, a charge under it would be a new one."""

_CHARGES = {
    each.value: each
    for each in (GatewayOutcome.CAPTURED, GatewayOutcome.DECLINED, GatewayOutcome.VOIDED)
}
_REFUNDS = {"REFUNDED": GatewayOutcome.REFUNDED, "REFUSED": GatewayOutcome.REFUND_REFUSED}
_DECIDED = (HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.CONFLICT)
_REFUSED = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.PAYMENT_REQUIRED,
    HTTPStatus.GONE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.UNAVAILABLE_FOR_LEGAL_REASONS,
)
_NO_ACCESS = (
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.METHOD_NOT_ALLOWED,
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED,
)
MAX_ANSWER_BYTES = 64 * 1024


class _Reply(msgspec.Struct, rename="camel", frozen=True):
    """`key` names the charge or refund that the answer is about.

    On a reused connection, the second answer of a gateway that answers twice is read as the answer
    to the next call: without this check it would decide another customer's payment. The others are
    of any type, so that none of them hides the decision.
    """

    key: str = ""
    status: str = ""
    amount: Any = None
    refunded_amount: Any = 0
    transaction_id: Any = None
    message: Any = None


_NOTHING = _Reply()
_decode = msgspec.json.Decoder(_Reply).decode


class _Refused(Exception):
    """The gateway refuses this request for good, with its reason."""


class _NoAccess(UnusableAnswer):
    """The gateway does not let the shop in, or is another program."""


class _NotFound(_NoAccess):
    """The same, or there is no such charge."""


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
        return call.command(Decision(outcome=_WITHOUT_GATEWAY[call.action]))

    def problems(self) -> Mapping[str, str | None]:
        return {}

    async def close(self) -> None:
        """There is nothing to close."""


class HttpGateway:
    """`url` is the gateway's address. One circuit breaker guards all calls: while the gateway is
    down, few calls are made, and external calls hold no connections."""

    def __init__(self, url: str, clock: Clock) -> None:
        self._url = url
        self._clock = clock
        self._no_access: str | None = None
        self._client = OutboundClient(
            SYSTEM,
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
            stop=stop_before_delay(GIVE_UP_SECONDS),
            wait=_pause_seconds,
            retry=retry_if_exception_type(Unavailable),
            before_sleep=_report_first,
        )
        try:
            decision: Decision = await attempts(self._decide, call)
        except RetryError as error:
            cause = error.last_attempt.exception()
            if isinstance(cause, _NoAccess):
                self._report_no_access(cause)
            raise Outage(f"{call.action} of {call.subject} under {call.key}: {cause}") from cause
        self._no_access = None
        return call.command(decision)

    def _report_no_access(self, cause: _NoAccess) -> None:
        self._no_access = f"does not let the shop in: {cause}"
        about = {"error": str(cause)}
        log.error(
            "the payment gateway does not let the shop in: see PAYMENT_GATEWAY_URL", extra=about
        )

    def problems(self) -> Mapping[str, str | None]:
        return {SYSTEM: self._client.problem or self._no_access}

    async def close(self) -> None:
        await self._client.close()

    async def _decide(self, call: GatewayCall) -> Decision:
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

    async def _charge(self, call: GatewayCall) -> Decision:
        body = {
            "amount": call.amount,
            "customerId": call.customer_id,
            "reference": call.subject,
        }
        try:
            reply = await self._call(HTTPMethod.POST, "/v1/charges", call.key, body)
        except _Refused as refusal:
            return await self._fence(call, str(refusal))
        return _decision(call, reply)

    async def _fence(self, call: GatewayCall, reason: str) -> Decision:
        """Void the key of a refused charge. An earlier attempt may have landed: then it stands."""
        decision = await self._void(call)
        if decision.outcome is GatewayOutcome.VOIDED:
            return msgspec.structs.replace(decision, outcome=GatewayOutcome.DECLINED, detail=reason)
        return decision

    async def _inquire(self, call: GatewayCall) -> Decision:
        """The decision about a key that is too old to be charged; it is voided if there is none."""
        reply = await self._find(call)
        return _decision(call, reply) if reply else await self._void(call)

    async def _find(self, call: GatewayCall) -> _Reply | None:
        """The charge, if the gateway knows it."""
        path = f"/v1/charges/{call.key}"
        try:
            return await self._call(HTTPMethod.GET, path, call.key)
        except _Refused as refusal:
            raise UnusableAnswer(f"the inquiry is refused: {refusal}") from refusal
        except _NotFound:
            return None

    async def _void(self, call: GatewayCall) -> Decision:
        path = f"/v1/charges/{call.key}/void"
        try:
            return _decision(call, await self._call(HTTPMethod.POST, path, call.key))
        except _Refused as refusal:
            raise UnusableAnswer(f"the void is refused: {refusal}") from refusal

    async def _refund(self, call: GatewayCall) -> Decision:
        path, body = f"/v1/charges/{call.key}/refunds", {"amount": call.amount}
        try:
            reply = await self._call(HTTPMethod.POST, path, call.refund_key, body)
        except _Refused as refusal:
            return await self._settle_refused_refund(call, str(refusal))
        if reply.status not in _REFUNDS:
            raise UnusableAnswer(f"answered {reply.status!r}")
        return _told(_REFUNDS[reply.status], reply)

    async def _settle_refused_refund(self, call: GatewayCall, reason: str) -> Decision:
        """The money is back all the same if an earlier attempt has refunded it."""
        charge = await self._find(call)
        if charge is None:
            raise UnusableAnswer(f"the refund is refused, its charge is unknown: {reason}")
        if charge.refunded_amount == call.amount:
            return Decision(outcome=GatewayOutcome.REFUNDED)
        return Decision(outcome=GatewayOutcome.REFUND_REFUSED, detail=reason)

    async def _call(self, method: HTTPMethod, path: str, key: str, body: Any = None) -> _Reply:
        """The gateway's reply about this key. Raises Unavailable, and _Refused."""
        headers = {"Idempotency-Key": key}
        async with self._client.request(
            method, f"{self._url}{path}", json=body, headers=headers
        ) as answer:
            wait_seconds = retry_after_seconds(answer.headers, self._clock())
            if answer.status >= 500:
                raise Unavailable(f"answered {answer.status}", wait_seconds)
            content = await read_answer(answer, MAX_ANSWER_BYTES)
            reply = _parse(content)
            if answer.status in _DECIDED and reply.key == key and reply.status:
                return reply
            raise _no_decision(answer.status, reply, content, key, wait_seconds)


def _report_first(state: RetryCallState) -> None:
    """Log the first answer that decides nothing; the others follow within seconds."""
    if state.attempt_number > 1 or state.outcome is None:
        return
    call: GatewayCall = state.args[0]
    subject = "orderId" if call.purpose is Purpose.ORDER else "topUpId"
    about = {subject: call.subject, "call": call.action, "error": str(state.outcome.exception())}
    log.warning("the payment gateway has decided nothing; trying again", extra=about)


def _pause_seconds(state: RetryCallState) -> float:
    """The next pause: it grows, and is at least what the gateway asks for."""
    growing = wait_exponential_jitter(
        multiplier=FIRST_PAUSE_SECONDS, max=MAX_PAUSE_SECONDS, jitter=FIRST_PAUSE_SECONDS
    )
    error = state.outcome.exception() if state.outcome else None
    asked = error.wait_seconds if isinstance(error, Unavailable) else 0
    return max(growing(state), min(asked, MAX_RETRY_AFTER_SECONDS))


def _no_decision(
    status: int, reply: _Reply, content: bytes, key: str, wait_seconds: int
) -> Exception:
    """What an answer means that decides nothing."""
    reason = _clean(reply.message) or _clean(excerpt(content, MAX_DETAIL_CHARACTERS))
    if reply.key not in ("", key):
        return UnusableAnswer(f"answered {status} about {reply.key!r}")
    if status in _REFUSED:
        return _Refused(reason or f"answered {status}")
    error = f"answered {status} {reason or ''}"
    if status == HTTPStatus.NOT_FOUND:
        return _NotFound(error)
    if status in _NO_ACCESS:
        return _NoAccess(error)
    return UnusableAnswer(error, wait_seconds)


def _decision(call: GatewayCall, reply: _Reply) -> Decision:
    """Raises UnusableAnswer where the reply is none about this charge."""
    if reply.status not in _CHARGES:
        raise UnusableAnswer(f"answered {reply.status!r}")
    outcome = _CHARGES[reply.status]
    if outcome is GatewayOutcome.CAPTURED and reply.amount not in (None, call.amount):
        raise UnusableAnswer(f"captured {reply.amount} KRW, not {call.amount}")
    return _told(outcome, reply)


def _told(outcome: GatewayOutcome, reply: _Reply) -> Decision:
    is_refusal = outcome in (GatewayOutcome.DECLINED, GatewayOutcome.REFUND_REFUSED)
    return Decision(
        outcome=outcome,
        transaction_id=_clean(reply.transaction_id, MAX_TRANSACTION_ID_CHARACTERS),
        detail=_clean(reply.message) if is_refusal else None,
    )


def _clean(value: Any, max_characters: int = MAX_DETAIL_CHARACTERS) -> str | None:
    """A text of one line, as the database can store it; None for an empty one."""
    text = "" if value is None else str(value)
    return " ".join(excerpt(text.encode(errors="replace"), max_characters).split()) or None


def _parse(content: bytes) -> _Reply:
    """An answer that is no JSON object of a known form tells nothing."""
    with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _decode(content)
    return _NOTHING
