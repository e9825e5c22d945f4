"""Every route has an example: in the OpenAPI documents, and in docs/api.md."""

import re
from collections.abc import AsyncIterator, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import pytest
from litestar import Litestar
from litestar.openapi.spec import OpenAPIMediaType, Operation, Reference, RequestBody, Schema

from chassis.web.dependencies import Page
from events.participants import PARTICIPANTS
from tests.e2e.api.routes import ROUTES
from tests.kit.client import ROOT
from tests.kit.settings import settings_of

API = (ROOT / "docs" / "api.md").read_text()
SIMULATED = "infra.simulators"
METHODS = ("get", "post", "put", "patch", "delete")


@pytest.fixture
async def app(service: str, tmp_path: Path) -> AsyncIterator[Litestar]:
    """The application of a service, which is not started."""
    environment = {"STATE_DIR": str(tmp_path), "NATS_URL": "nats://127.0.0.1:1"}
    app = import_module(f"{service}.app").create_app(settings_of(service, environment))
    yield app
    await app.state["service"].database.close()


def operations(app: Litestar) -> Iterator[tuple[str, Operation]]:
    for path, item in (app.openapi_schema.paths or {}).items():
        for method in METHODS:
            operation = getattr(item, method)
            if operation is not None:
                yield f"{method.upper()} {path}", operation


def media_of(operation: Operation) -> Iterator[OpenAPIMediaType]:
    if isinstance(operation.request_body, RequestBody):
        yield from operation.request_body.content.values()
    for status, answer in (operation.responses or {}).items():
        if status.startswith("2") and not isinstance(answer, Reference):
            yield from (answer.content or {}).values()


def shapes(kind: type[Any], module_prefix: str) -> Iterator[type[Any]]:
    for each in kind.__subclasses__():
        if (
            each.__module__.startswith((module_prefix, "chassis."))
            and SIMULATED not in each.__module__
        ):
            yield each
        yield from shapes(each, module_prefix)


def kind_of(app: Litestar, schema: Reference, known: dict[str, type[Any]]) -> Any:
    """The class that a schema describes: one of its own name, or a page of such."""
    if schema.value in known:
        return known[schema.value]
    properties = (app.openapi_schema.components.schemas or {})[schema.value].properties or {}
    items = properties["items"]
    assert isinstance(items, Schema)
    assert isinstance(items.items, Reference)
    kind: Any = Page
    return kind[known[items.items.value]]


@pytest.mark.parametrize("service", PARTICIPANTS)
async def test_every_body_and_answer_has_an_example_of_its_schema(
    service: str, app: Litestar
) -> None:
    known = {each.__name__: each for each in shapes(msgspec.Struct, service)}
    shown = 0
    for name, operation in operations(app):
        for media in media_of(operation):
            assert media.example, name
            if isinstance(media.schema, Reference):
                msgspec.convert(media.example, kind_of(app, media.schema, known))
                shown += 1
        for parameter in operation.parameters or ():
            if not isinstance(parameter, Reference) and parameter.param_in == "path":
                assert parameter.example, name
    assert shown >= 5


def test_api_page_names_every_route_with_an_example() -> None:
    rows = re.findall(r"^\| (`(?:GET|POST|PATCH|DELETE) .*?`) \| (.+) \|$", API, re.MULTILINE)
    named = {
        re.sub(r"\{\w+\}", "{}", route)
        for routes, example in rows
        if "`" in example
        for route in re.findall(r"`([A-Z]+ [^`]+)`", routes)
    }
    assert named == {f"{r.method} {r.path.removeprefix('/api/v1')}" for r in ROUTES}


def test_each_example_of_api_page_calls_the_route_in_its_row() -> None:
    shown = re.findall(r"^\| `([A-Z]+) (/[^`]+)` \| `([^`]+)`", API, re.MULTILINE)
    assert len(shown) > 40
    for method, path, example in shown:
        given = re.search(r"-X ([A-Z]+)", example)
        method_sent = given[1] if given else ("POST" if " -d " in example else "GET")
        address = re.search(r"\$[OPWCD](/[^ ?\"]+)", example)
        assert address is not None, example
        pattern = re.sub(r"\{\w+\}", r"(\\$[A-Z]+|\\d+)", path)
        assert method_sent == method, example
        assert re.fullmatch(pattern, address[1]), example
