"""The HTTP edge that all services share: error format, idempotency keys, OpenAPI, health, metrics.

Errors leave here as `{"error": CODE, "message": sentence, "details": null or object}`, the
framework's own and crashes included.
"""

import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
from litestar import Litestar, Request, Response, Router
from litestar.datastructures import State
from litestar.di import Provide
from litestar.enums import MediaType
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import SwaggerRenderPlugin
from litestar.static_files import create_static_files_router
from litestar.types import ControllerRouterHandler, Middleware

from chassis.processing.messages import IdempotencyKey
from chassis.service import Service
from chassis.web import examples, health, operations
from chassis.web.reading import StrictRequest, refuse_null
from chassis.web.request_metrics import RequestMetrics
from chassis.web.schemas import Body, Error
from saga.errors import Invalid, RetryLater, SagaError, Unauthorized

log = logging.getLogger(__name__)

_CODES = {
    400: "VALIDATION_ERROR",
    401: "UNAUTHORIZED",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "BODY_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
}


def build(
    service: Service[Any],
    routes: Sequence[ControllerRouterHandler],
    *,
    title: str,
    description: str,
) -> Litestar:
    """The service's web application; it starts and stops the service with itself."""

    @asynccontextmanager
    async def life(_: Litestar) -> AsyncIterator[None]:
        await service.start()
        try:
            yield
        finally:
            await service.stop()

    middleware: list[Middleware] = [RequestMetrics]
    provided = Provide(lambda: service, sync_to_thread=False, use_cache=True)
    app = Litestar(
        [
            Router("/api/v1", route_handlers=[*routes, *operations.ROUTES]),
            *health.ROUTES,
            create_static_files_router(path="/schema-assets", directories=[_assets()]),
        ],
        dependencies={"service": provided},  # a second one would cost a task group a request
        exception_handlers={Exception: to_response},
        lifespan=[life],
        logging_config=None,
        before_request=_before,
        middleware=middleware,
        request_class=StrictRequest,
        openapi_config=_openapi(title, description),
        request_max_body_size=service.settings.max_body_bytes,
        state=State({"service": service}),
    )
    _close_bodies(app)
    examples.show(app)
    return app


async def _before(request: Request[Any, Any, Any]) -> Response[None] | None:
    """Asynchronous, for the framework would give a plain function a thread, for each request."""
    refuse_null(request)
    return _methods(request) if request.method == "OPTIONS" else None


def _methods(request: Request[Any, Any, Any]) -> Response[None]:
    """What a path takes. (The framework's own answer forgets all but one of its handlers.)"""
    template = request.scope["path_template"]
    methods = next(
        set(route.methods)
        for route in request.app.routes
        if template in (route.path, route.path_format)
    )
    return Response(None, status_code=204, headers={"Allow": ", ".join(sorted(methods))})


def _close_bodies(app: Litestar) -> None:
    """Say in the document that a body takes no other fields; the framework leaves that out."""
    schemas = app.openapi_schema.components.schemas or {}
    for body in _kinds_of(Body):
        if schema := schemas.get(body.__name__):
            schema.additional_properties = False


def _kinds_of(shape: type[Body]) -> Iterator[type[Body]]:
    for kind in shape.__subclasses__():
        yield kind
        yield from _kinds_of(kind)


def to_response(request: Request[Any, Any, Any], error: Exception) -> Response[Error]:
    """Translate whatever was raised into the error format."""
    headers: dict[str, str] = {}
    match error:
        case RetryLater():
            headers["Retry-After"] = str(error.retry_after_seconds)
            status, body = error.status_code, Error(error=error.code, message=error.message)
        case SagaError():
            if isinstance(error, Unauthorized):
                headers["WWW-Authenticate"] = "Bearer"
            details = None if error.details is None else dict(error.details)
            status = error.status_code
            body = Error(error=error.code, message=error.message, details=details)
        case HTTPException() if error.status_code < 500:
            status, body = error.status_code, _framework_error(request, error)
            headers.update(error.headers or {})
        case _:
            log.error("a request failed", exc_info=error, extra={"path": request.url.path})
            status = 500
            body = Error(error="INTERNAL_ERROR", message="something broke here; try again later")
    return Response(body, status_code=status, headers=headers, media_type=MediaType.JSON)


def _framework_error(request: Request[Any, Any, Any], error: HTTPException) -> Error:
    code = _CODES.get(error.status_code, "INVALID_REQUEST")
    message = error.detail
    details: dict[str, Any] | None = None
    if isinstance(error, ValidationException) and error.extra:
        problems = [_named_as_sent(request, each) for each in error.extra]
        details = {"problems": problems}
        message = "; ".join(_problem(each) for each in problems)
    elif error.status_code == 404:
        message = "there is no such route; see /schema for those there are"
    elif error.status_code == 405:
        message = "this route does not take this method; see /schema"
    return Error(error=code, message=message or code, details=details)


def _problem(problem: Any) -> str:
    if not isinstance(problem, dict):
        return str(problem)
    key = problem.get("key")
    return f"{key}: {problem.get('message')}" if key else str(problem.get("message"))


def _named_as_sent(request: Request[Any, Any, Any], problem: Any) -> Any:
    """The framework names a parameter as Python does; the client knows it by its own name."""
    if not isinstance(problem, dict) or "key" not in problem:
        return problem
    declared = request.route_handler.parsed_fn_signature.parameters.get(problem["key"])
    sent_as = getattr(declared and declared.kwarg_definition, "name", None)
    return problem | {"key": sent_as or problem["key"]}


def idempotency(scope: str, key: str | None, request: object) -> IdempotencyKey | None:
    """The client's key for this request, or None where it sent none.

    Two requests are the same when they mean the same, whatever their spacing and order of fields.
    Raises Invalid for a key that is not 1 to 255 printable ASCII characters.
    """
    if key is None:
        return None
    fingerprint = sha256(msgspec.json.encode(request, order="sorted")).hexdigest()
    return IdempotencyKey(scope, required_key(key), fingerprint)


def required_key(key: str | None) -> str:
    """The client's key. Raises Invalid for one that can't be used, and where it sent none."""
    if key is None:
        raise Invalid("Idempotency-Key: needed here, so that the request can be sent again safely")
    if not (key.isascii() and key.isprintable() and key.strip()):
        raise Invalid("Idempotency-Key: send 1 to 255 printable ASCII characters")
    return key


def _in_error_format(response: Response[Any]) -> Response[Any]:
    """The framework has an HTML page of its own for what is missing below /schema."""
    if response.status_code != 404:
        return response
    body = Error(error="NOT_FOUND", message="there is no such page; see /schema")
    return Response(body, status_code=404, media_type=MediaType.JSON)


def _assets() -> Path:
    """Swagger UI's files. Only found: to import their package would import a template engine."""
    package = find_spec("swagger_ui")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "static"


def _openapi(title: str, description: str) -> OpenAPIConfig:
    return OpenAPIConfig(
        title=title,
        version="1.0.0",
        description=description,
        path="/schema",
        openapi_router=Router(
            "/schema", route_handlers=[], after_request=_in_error_format, include_in_schema=False
        ),
        render_plugins=[
            SwaggerRenderPlugin(
                path="/",
                js_url="/schema-assets/swagger-ui-bundle.js",
                css_url="/schema-assets/swagger-ui.css",
                standalone_preset_js_url="/schema-assets/swagger-ui-standalone-preset.js",
                favicon='<link rel="icon" href="/schema-assets/favicon-32x32.png">',
            )
        ],
    )
