"""The OpenAPI document and its page, which work offline."""

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from litestar import Litestar, Response, Router
from litestar.enums import MediaType
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import SwaggerRenderPlugin
from litestar.static_files import create_static_files_router

from chassis.web import examples
from chassis.web.errors import Error
from chassis.web.schemas import Body


def config(title: str, description: str) -> OpenAPIConfig:
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


def assets() -> Router:
    """Swagger UI's files. Only found: to import their package would import a template engine."""
    package = find_spec("swagger_ui")
    assert package is not None
    assert package.origin is not None
    folder = Path(package.origin).parent / "static"
    return create_static_files_router(path="/schema-assets", directories=[folder])


def complete(app: Litestar, values: Mapping[str, Any]) -> None:
    """Add to the document what the framework leaves out.

    A schema's title is its name, a body takes no other fields, and every route has an example made
    of `values` (see `chassis.web.examples`).
    """
    schemas = app.openapi_schema.components.schemas or {}
    closed = {kind.__name__ for kind in _kinds_of(Body)}
    for name, schema in schemas.items():
        schema.title = name
        if name in closed:
            schema.additional_properties = False
    examples.show(app, values)


def _kinds_of(shape: type[Body]) -> Iterator[type[Body]]:
    for kind in shape.__subclasses__():
        yield kind
        yield from _kinds_of(kind)


def _in_error_format(response: Response[Any]) -> Response[Any]:
    """The framework has an HTML page of its own for an unknown page below /schema."""
    if response.status_code != 404:
        return response
    body = Error(error="NOT_FOUND", message="there is no such page; see /schema")
    return Response(body, status_code=404, media_type=MediaType.JSON)
