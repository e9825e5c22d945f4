"""The simulated payment gateway, with faults on request: `python -m infra.simulators.gateway`.

What a gateway offers (amounts in KRW):

    POST /v1/charges                   Idempotency-Key; {amount, customerId, reference}
                                       200 CAPTURED, 402 DECLINED, 409 VOIDED: the key was fenced
    GET  /v1/charges/{key}             200 the charge, 404: unknown (it may still land)
    POST /v1/charges/{key}/void        fences the key for good. 200 VOIDED, 409 decided earlier
    POST /v1/charges/{key}/refunds     Idempotency-Key; {amount}. 200 REFUNDED, 409 REFUSED
    GET  /v1/statement?after=&limit=   all that was captured and given back, in order

The same key gives the same answer and acts once. Each answer names the key that it is about; one
about a charge has the gateway's transactionId, and a declined one a message with the reason.
What only the simulator offers:

    POST, GET, DELETE /control/behaviours    the faults that it injects: see `Rule`
"""

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import Annotated

import msgspec
from aiohttp import web

from infra.simulators import http
from infra.simulators.behaviours import Behaviours, Does, Operation, Rule
from infra.simulators.gateway_store import Charge, GatewayStore, Status
from infra.simulators.odd_answers import odd_answer

PORT = 8190
LAND_SECONDS = 0.05
MAX_PAGE_SIZE = 1000

_HTTP_STATUS = {
    Status.CAPTURED: HTTPStatus.OK,
    Status.DECLINED: HTTPStatus.PAYMENT_REQUIRED,
    Status.VOIDED: HTTPStatus.CONFLICT,
    Status.IN_FLIGHT: HTTPStatus.GATEWAY_TIMEOUT,
}

Amount = Annotated[int, msgspec.Meta(ge=1, le=10**15)]


class NewCharge(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    amount: Amount
    customer_id: str
    reference: str


class NewRefund(msgspec.Struct, forbid_unknown_fields=True):
    amount: Amount


class Gateway:
    def __init__(self, store: GatewayStore) -> None:
        self.store = store
        self.behaviours = Behaviours()

    # ------------------------------------------------------------ what a gateway offers

    async def charge(self, request: web.Request) -> web.StreamResponse:
        key, wanted = http.idempotency_key(request), http.read(await request.read(), NewCharge)
        known = self.store.find(key)
        if known is not None:
            return _answer(known, wanted.amount)
        rule = self.behaviours.next(Operation.CHARGE, wanted.customer_id)
        await _fail_before(rule, request)
        broken = rule.does is Does.LAND_AFTER_VOID
        late = broken or rule.does is Does.LAND_LATE
        status = Status.IN_FLIGHT if late else Status.CAPTURED
        if rule.does is Does.DECLINE:
            status = Status.DECLINED
        # While this call hung, another one under the same key may have been answered.
        charge = self.store.find(key) or self.store.charge(
            key,
            wanted.reference,
            wanted.customer_id,
            wanted.amount,
            status,
            lands_after_seconds=rule.seconds,
            fence_holds=not broken,
        )
        await _fail_after(rule)
        if rule.does is Does.ANSWER_TWICE:
            return await _twice(request, charge)
        return _answer(charge, wanted.amount)

    async def inquire(self, request: web.Request) -> web.Response:
        charge = self.store.find(request.match_info["key"])
        await self._behave(Operation.INQUIRE, charge, request)
        if charge is None or charge.status is Status.IN_FLIGHT:
            raise http.refusal(HTTPStatus.NOT_FOUND, "NOT_FOUND", "no such charge is known")
        return http.json_answer(charge)

    async def void(self, request: web.Request) -> web.Response:
        key = request.match_info["key"]
        await self._behave(Operation.VOID, self.store.find(key), request)
        charge = self.store.void(key)
        done = charge.status is Status.VOIDED
        return http.json_answer(charge, HTTPStatus.OK if done else HTTPStatus.CONFLICT)

    async def refund(self, request: web.Request) -> web.Response:
        refund_key, wanted = (
            http.idempotency_key(request),
            http.read(await request.read(), NewRefund),
        )
        charge = self.store.find(request.match_info["key"])
        if charge is None or charge.status is Status.IN_FLIGHT:
            raise http.refusal(HTTPStatus.NOT_FOUND, "NOT_FOUND", "no such charge is known")
        rule = self.behaviours.next(Operation.REFUND, self.store.customer_of(charge.key))
        await _fail_before(rule, request)
        known = self.store.known_refund(refund_key)
        refused = rule.does is Does.REFUSE
        if known is None:
            charge = self.store.find(charge.key) or charge
            status = self.store.refund(refund_key, charge, wanted.amount, refused=refused)
        else:
            status = known[0]
        await _fail_after(rule)
        done = status == "REFUNDED"
        answer = {"key": refund_key, "status": status, "amount": wanted.amount}
        if not done:
            answer["message"] = "the bank refuses to give it back"
        return http.json_answer(answer, HTTPStatus.OK if done else HTTPStatus.CONFLICT)

    async def statement(self, request: web.Request) -> web.Response:
        after, limit = (
            http.number(request, "after", 0),
            http.number(request, "limit", MAX_PAGE_SIZE),
        )
        return http.json_answer({"items": self.store.statement(after, min(limit, MAX_PAGE_SIZE))})

    # ------------------------------------------------------------ what only the simulator offers

    async def add_behaviour(self, request: web.Request) -> web.Response:
        try:
            self.behaviours.add(http.read(await request.read(), Rule))
        except ValueError as error:
            raise http.refusal(HTTPStatus.BAD_REQUEST, "VALIDATION_ERROR", str(error)) from error
        return http.json_answer({"rules": self.behaviours.rules})

    async def list_behaviours(self, _: web.Request) -> web.Response:
        return http.json_answer({"rules": self.behaviours.rules})

    async def clear_behaviours(self, _: web.Request) -> web.Response:
        self.behaviours.rules.clear()
        return http.json_answer({"rules": []})

    async def _behave(
        self, operation: Operation, charge: Charge | None, request: web.Request
    ) -> None:
        customer_id = self.store.customer_of(charge.key) if charge else None
        await _fail_before(self.behaviours.next(operation, customer_id), request)

    async def landing(self) -> None:
        """Capture charges in flight when they are due, until cancelled."""
        while True:
            await asyncio.sleep(LAND_SECONDS)
            self.store.land()


def build(file: Path) -> web.Application:
    """The application, with its store in this file."""
    gateway = Gateway(GatewayStore(file))
    app = web.Application(middlewares=[http.errors_as_json])
    app.add_routes(
        [
            web.post("/v1/charges", gateway.charge),
            web.get("/v1/charges/{key}", gateway.inquire),
            web.post("/v1/charges/{key}/void", gateway.void),
            web.post("/v1/charges/{key}/refunds", gateway.refund),
            web.get("/v1/statement", gateway.statement),
            web.post("/control/behaviours", gateway.add_behaviour),
            web.get("/control/behaviours", gateway.list_behaviours),
            web.delete("/control/behaviours", gateway.clear_behaviours),
            web.get("/health", http.healthy),
        ]
    )

    async def life(_: web.Application) -> AsyncIterator[None]:
        landing = asyncio.create_task(gateway.landing())
        yield
        landing.cancel()
        gateway.store.close()

    app.cleanup_ctx.append(life)
    return app


async def _fail_before(rule: Rule, request: web.Request) -> None:
    """Faults after which nothing has happened."""
    odd = odd_answer(rule, request)
    if odd is not None:
        raise http.Refusal(odd)
    if rule.does is Does.HANG:
        await asyncio.sleep(rule.seconds)
        raise http.refusal(HTTPStatus.GATEWAY_TIMEOUT, "TIMEOUT", "nothing has happened")
    if rule.does is Does.ERROR:
        raise http.refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "ERROR", "nothing has happened")


async def _fail_after(rule: Rule) -> None:
    """Faults after which everything has happened, without an answer."""
    if rule.does in (Does.CAPTURE_THEN_HANG, Does.REFUND_THEN_HANG):
        await asyncio.sleep(rule.seconds)
    if rule.does in (Does.CAPTURE_THEN_ERROR, Does.REFUND_THEN_ERROR):
        raise http.refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "ERROR", "something broke")
    if rule.does in (Does.CAPTURE_THEN_REFUSE, Does.REFUND_THEN_REFUSE):
        raise http.refusal(HTTPStatus.BAD_REQUEST, "BAD_REQUEST", "this has been done already")


async def _twice(request: web.Request, charge: Charge) -> web.StreamResponse:
    """Answer twice on the same connection."""
    answer = _answer(charge, charge.amount)
    await answer.prepare(request)
    await answer.write_eof()
    body = msgspec.json.encode(charge)
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    if request.transport is not None:
        request.transport.write(head + body)
    return answer


def _answer(charge: Charge, amount: int) -> web.Response:
    if charge.amount != amount and charge.status is not Status.VOIDED:
        sentence = f"this key was used for a charge of {charge.amount} KRW"
        raise http.refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "KEY_REUSED", sentence)
    return http.json_answer(charge, _HTTP_STATUS[charge.status])


if __name__ == "__main__":
    http.run("gateway", PORT, build)
