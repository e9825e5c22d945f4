"""The odd answers of the simulated gateway, each to one request. Nothing has happened then."""

from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from time import time

from aiohttp import web

from infra.simulators import http
from infra.simulators.behaviours import Does, Rule


def odd_answer(rule: Rule, request: web.Request) -> web.Response | None:
    """The answer by this rule, if it asks for an odd one."""
    answer = _ANSWERS.get(rule.does)
    return answer(rule, request) if answer else None


def _error(status: HTTPStatus, code: str, message: str, **headers: str) -> web.Response:
    return http.refusal(status, code, message, **headers).answer


def _overloaded(rule: Rule, _: web.Request) -> web.Response:
    wait = f"{rule.seconds:.0f}"
    busy = HTTPStatus.TOO_MANY_REQUESTS
    return _error(busy, "OVERLOADED", "too much at once", Retry_After=wait)


def _maintenance(rule: Rule, _: web.Request) -> web.Response:
    until = formatdate(time() + rule.seconds, usegmt=True)
    away = HTTPStatus.SERVICE_UNAVAILABLE
    return _error(away, "MAINTENANCE", "closed for maintenance", Retry_After=until)


def _redirect(_: Rule, request: web.Request) -> web.Response:
    headers = {"Location": str(request.url)}
    return web.Response(status=HTTPStatus.TEMPORARY_REDIRECT, headers=headers)


def _refusing(status: HTTPStatus, code: str, message: str) -> Callable[..., web.Response]:
    return lambda *_: _error(status, code, message)


_ANSWERS: dict[Does, Callable[[Rule, web.Request], web.Response]] = {
    Does.BAD_REQUEST: _refusing(HTTPStatus.BAD_REQUEST, "BAD_CARD", "the card number is no number"),
    Does.UNPROCESSABLE: _refusing(
        HTTPStatus.UNPROCESSABLE_ENTITY, "CARD_EXPIRED", "the card has expired"
    ),
    Does.IN_USE: _refusing(HTTPStatus.CONFLICT, "KEY_IN_USE", "the key is in use"),
    Does.OVERLOADED: _overloaded,
    Does.MAINTENANCE: _maintenance,
    Does.UNAUTHORIZED: _refusing(HTTPStatus.UNAUTHORIZED, "UNAUTHORIZED", "send a valid API key"),
    Does.REDIRECT: _redirect,
    Does.HTML: lambda *_: web.Response(text="<h1>Welcome</h1>", content_type="text/html"),
    Does.EMPTY: lambda *_: web.Response(),
    Does.MALFORMED: lambda *_: web.Response(text='{"key": "', content_type="application/json"),
    Does.OTHER_KEY: lambda *_: http.json_answer(
        {"key": "another", "status": "CAPTURED", "amount": 1, "refundedAmount": 0}
    ),
}
