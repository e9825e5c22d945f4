"""The OpenAPI document and its page, which work offline."""

import re
from base64 import b64encode
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from litestar import Litestar, Request, Response, Router
from litestar.enums import MediaType
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import SwaggerRenderPlugin
from litestar.openapi.spec import OpenAPI
from litestar.response.base import ASGIResponse
from litestar.static_files import create_static_files_router

from chassis.web.browsers import CONTENT_SECURITY
from chassis.web.document import Handlers, Vocabulary, complete
from chassis.web.errors import to_response
from saga.errors import NotFound

MAX_ASSET_PATH_LENGTH = 200

_INLINE_SCRIPT = re.compile(rb"<script type='text/javascript'>(.*?)</script>", re.DOTALL)
_CONTENT_SECURITY = (
    "default-src 'none'; script-src 'self' {}; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
"""Swagger UI styles its elements, and draws with images in its style sheet."""


class Document(OpenAPI):
    """The framework's document, completed."""

    vocabulary: Vocabulary
    handlers: Handlers

    def to_schema(self) -> dict[str, Any]:
        return complete(super().to_schema(), self.handlers, self.vocabulary)


class Config(OpenAPIConfig):
    """Makes documents that are completed with this vocabulary."""

    vocabulary: Vocabulary
    handlers: Handlers

    def to_openapi_schema(self) -> OpenAPI:
        document = Document(**vars(super().to_openapi_schema()))
        document.vocabulary, document.handlers = self.vocabulary, self.handlers
        return document


def config(title: str, description: str, vocabulary: Vocabulary) -> OpenAPIConfig:
    handlers: Handlers = {}

    def operation_id(handler: HTTPRouteHandler, *_: object) -> str:
        """The name of the route's function: `placeOrder`."""
        first, *others = handler.handler_name.split("_")
        name = first + "".join(map(str.title, others))
        handlers[name] = handler
        return name

    made = Config(
        title=title,
        version="1.0.0",
        description=description,
        path="/schema",
        use_handler_docstrings=True,
        operation_id_creator=operation_id,
        openapi_router=Router(
            "/schema", route_handlers=[], after_request=_as_page, include_in_schema=False
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
    made.vocabulary, made.handlers = vocabulary, handlers
    return made


def assets() -> Router:
    """Swagger UI's files. Only found: to import their package would import a template engine."""
    package = find_spec("swagger_ui")
    assert package is not None
    assert package.origin is not None
    folder = Path(package.origin).parent / "static"
    return create_static_files_router(
        path="/schema-assets", directories=[folder], before_request=_refuse_odd_name
    )


async def _refuse_odd_name(request: Request[Any, Any, Any]) -> None:
    """The framework would ask the file system, and answer 500 to its errors."""
    path = request.scope["path"]
    if not path.isprintable() or len(path) > MAX_ASSET_PATH_LENGTH:
        raise NotFound("there is no such file")


def _as_page(response: Response[Any]) -> Response[Any]:
    """The page may load its own files and call its own service; nothing else.

    The framework has an HTML page of its own for an unknown page below /schema.
    """
    if response.status_code == 404:
        return _NoPage(None)
    if response.media_type == MediaType.HTML:
        scripts = _INLINE_SCRIPT.findall(response.content)
        hashes = " ".join(
            f"'sha256-{b64encode(sha256(each).digest()).decode()}'" for each in scripts
        )
        response.headers[CONTENT_SECURITY] = _CONTENT_SECURITY.format(hashes)
        response.headers["Referrer-Policy"] = "no-referrer"
    return response


class _NoPage(Response[Any]):
    """The request, and so its language, is known when the answer is made."""

    def to_asgi_response(
        self, app: Litestar | None, request: Request[Any, Any, Any], **how: Any
    ) -> ASGIResponse:
        refusal = to_response(request, NotFound("there is no such page; see /schema"))
        return refusal.to_asgi_response(app, request, **how)
