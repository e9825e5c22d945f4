"""What the simulators share over HTTP: bodies, errors as JSON, and running one."""

import os
import sys
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from aiohttp import web

T = TypeVar("T")


class Refusal(Exception):
    """Ends a request with this answer."""

    def __init__(self, answer: web.Response) -> None:
        super().__init__(answer.text)
        self.answer = answer


def refusal(status: HTTPStatus, code: str, message: str, **headers: str) -> Refusal:
    """An error's answer, to be raised. Header names are given as `Retry_After="3"`."""
    answer = json_answer({"error": code, "message": message}, status)
    answer.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return Refusal(answer)


def json_answer(body: Any, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(body), status=status, content_type="application/json"
    )


def idempotency_key(request: web.Request) -> str:
    key = request.headers.get("Idempotency-Key", "")
    if not key:
        raise refusal(HTTPStatus.BAD_REQUEST, "VALIDATION_ERROR", "send an Idempotency-Key")
    return key


def number(request: web.Request, name: str, default: int) -> int:
    """A query parameter that is a whole number."""
    text = request.query.get(name, str(default))
    if not text.isascii() or not text.isdigit():
        raise refusal(HTTPStatus.BAD_REQUEST, "VALIDATION_ERROR", f"{name}: a whole number")
    return int(text)


def read(body: bytes, kind: type[T]) -> T:
    """A request's body as this type."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise refusal(HTTPStatus.BAD_REQUEST, "VALIDATION_ERROR", str(error)) from error


@web.middleware
async def errors_as_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refusal as refused:
        return refused.answer
    except web.HTTPException as error:
        body = {"error": error.reason.upper().replace(" ", "_"), "message": error.reason}
        return json_answer(body, HTTPStatus(error.status))


async def healthy(_: web.Request) -> web.Response:
    return json_answer({"status": "alive"})


def run(name: str, default_port: int, build: Callable[[Path], web.Application]) -> None:
    """Serve the simulator of this name, with its store in a folder of that name."""
    folder = Path(os.environ.get("STATE_DIR") or ".run").absolute()
    variable = f"{name.upper()}_PORT"
    port = os.environ.get(variable) or str(default_port)
    if not port.isdigit():
        sys.exit(f"{variable}={port}: use a port number")
    host = os.environ.get("HOST") or "127.0.0.1"
    app = build(folder / name / f"{name}.db")
    web.run_app(app, host=host, port=int(port), print=None, access_log=None)
