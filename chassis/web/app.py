"""The web application of a service: its own routes, the operators', health, metrics and OpenAPI."""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from litestar import Litestar, Request, Response, Router
from litestar.datastructures import State
from litestar.middleware import DefineMiddleware
from litestar.types import ControllerRouterHandler, Middleware

from chassis.service import Service
from chassis.web import (
    actions,
    audit_log,
    dead_letters,
    dependencies,
    health,
    openapi,
    operations,
    recovery,
)
from chassis.web.access import check_routes
from chassis.web.actions import answer_error, check_actions
from chassis.web.authentication import Authentication, Keys, Tokens
from chassis.web.document import Vocabulary
from chassis.web.errors import allowed
from chassis.web.keys import ProviderKeys, PublishedKeys
from chassis.web.languages import CHASSIS, Languages
from chassis.web.reading import StrictRequest, refuse_forgery, refuse_query
from chassis.web.request_metrics import RequestMetrics
from saga.errors import ConfigurationError

REFUSAL = "refusal"
"""Names, in the application's state, the sentence with which its service refused to start."""


def build(
    service: Service[Any],
    routes: Sequence[ControllerRouterHandler],
    *,
    title: str,
    description: str,
    vocabulary: Vocabulary | None = None,
    messages: Sequence[Path] = (),
    agents: Collection[str] = (),
) -> Litestar:
    """The service's web application; it starts and stops the service with itself.

    `vocabulary`: the service's words for its OpenAPI document. `messages`: folders with its
    messages in other languages (`chassis.web.languages`). `agents`: the roles whose holders may act
    for any user.

    Raises ConfigurationError where access tokens are asked for and nothing has their keys,
    TypeError for a route that does not name who may call it, or what the audit log has of it.
    """
    keys = _trusted_keys(service)

    @asynccontextmanager
    async def life(app: Litestar) -> AsyncIterator[None]:
        try:
            await service.start()
        except ConfigurationError as error:
            app.state[REFUSAL] = error.message
            raise
        try:
            yield
        finally:
            await service.stop()
            if isinstance(keys, ProviderKeys):
                await keys.close()

    made = Litestar(
        [
            Router(
                "/api/v1",
                route_handlers=[
                    *routes,
                    *operations.routes(service.participant),
                    dead_letters.DeadLetterController,
                    recovery.RecoveryController,
                    audit_log.AuditLogController,
                ],
                before_request=_before_api,
            ),
            *health.ROUTES,
            openapi.assets(),
        ],
        dependencies=dependencies.provide(service),
        exception_handlers={Exception: answer_error},
        lifespan=[life],
        logging_config=None,
        before_request=_before,
        middleware=[RequestMetrics, _authentication(service, keys, agents)],
        request_class=StrictRequest,
        openapi_config=openapi.config(title, description, vocabulary or Vocabulary()),
        request_max_body_size=service.settings.max_body_bytes,
        state=State({"service": service, "languages": Languages(CHASSIS, *messages)}),
    )
    check_routes(made)
    check_actions(made)
    return made


def _trusted_keys(service: Service[Any]) -> Keys | None:
    """The keys of access tokens; None where no sign-in is asked for."""
    if not service.settings.auth:
        return None
    if service.settings.auth_jwks_url:
        return ProviderKeys(service.settings.auth_jwks_url)
    try:
        return service.components.of_type(PublishedKeys)
    except KeyError:
        raise ConfigurationError("AUTH=on: set AUTH_JWKS_URL, which has the keys") from None


def _authentication(
    service: Service[Any], keys: Keys | None, agents: Collection[str]
) -> Middleware:
    settings = service.settings
    audience = settings.auth_audience or settings.auth_issuer
    tokens = Tokens(settings.auth_issuer, audience, keys, agents) if keys else None
    return DefineMiddleware(Authentication, tokens=tokens, ops_token=settings.ops_token)


# Both are asynchronous, for the framework would run a plain function in a thread, each time.


async def _before(request: Request[Any, Any, Any]) -> Response[None] | None:
    return _methods(request) if request.method == "OPTIONS" else None


async def _before_api(request: Request[Any, Any, Any]) -> Response[None] | None:
    if request.method == "OPTIONS":
        return _methods(request)
    refuse_forgery(request, request.app.state["service"].settings.cors_origins)
    refuse_query(request)
    actions.begin(request.scope, request.route_handler, request.app.state["service"])
    return None


def _methods(request: Request[Any, Any, Any]) -> Response[None]:
    """The methods of a path. (The framework's own answer forgets all but one of its handlers.)"""
    template = request.scope["path_template"]
    methods = next(
        set(route.methods)
        for route in request.app.routes
        if template in (route.path, route.path_format)
    )
    return Response(None, status_code=204, headers={"Allow": allowed(methods)})
