"""Every route of every service answers what is wrong in the error format, and stores nothing."""

import re

import pytest

from tests.e2e.api.raw_http import Wire, complaint, nothing_stored, refused
from tests.e2e.api.routes import ROUTES, UUID_EXAMPLE, Route, good
from tests.kit.client import SERVICES

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND")
PATHS = sorted({(route.service, route.path) for route in ROUTES})
WITH_ID = [route for route in ROUTES if route.unknown]
WITH_QUERY = [route for route in ROUTES if route.query]

BAD_IDS = (
    *("x", "null", "1", "-1", "1.5", "%00", "%ff", "%7B%7D", "x" * 1000),
    *(f"{UUID_EXAMPLE}0", UUID_EXAMPLE[:-1], f"{UUID_EXAMPLE}%20"),
)


@pytest.mark.parametrize("service", SERVICES)
async def test_no_route_is_missing_in_the_table(wire: Wire, service: str) -> None:
    """A new route needs its line in tests.e2e.api.routes, and gets all the tests below by it."""
    paths = (await wire.openapi(service))["paths"]
    served = {
        f"{service} {method.upper()} {re.sub(r'{[^}]+}', '{}', path)}"
        for path, methods in paths.items()
        for method in methods
    }
    assert served == {route.name for route in ROUTES if route.service == service}


@pytest.mark.parametrize("route", WITH_ID, ids=lambda route: route.name)
async def test_an_unknown_id(wire: Wire, route: Route) -> None:
    body = good(route.body or {})
    async with nothing_stored(wire.shop):
        answer = await wire.send_json(
            route.service, route.method, route.address, body, idempotency_key="unknown-id"
        )
    assert route.unknown is not None
    refused(answer, 404, route.unknown)


@pytest.mark.parametrize("route", WITH_ID, ids=lambda route: route.name)
async def test_an_id_that_can_not_be_one(wire: Wire, route: Route) -> None:
    body = good(route.body or {})
    wrong = {}
    is_number = "dead-letters" in route.path
    bad_ids = ("x", "1.5", "%00", "-1", "9" * 18, "9" * 30) if is_number else BAD_IDS
    async with nothing_stored(wire.shop):
        for bad in bad_ids:
            path = route.path.replace("{}", bad)
            answer = await wire.send_json(
                route.service, route.method, path, body, idempotency_key="bad-id"
            )
            if emitted := complaint(answer, 404 if is_number else 400):
                wrong[bad] = emitted
    assert wrong == {}


@pytest.mark.parametrize("route", WITH_QUERY, ids=lambda route: route.name)
async def test_bad_query_parameters(wire: Wire, route: Route) -> None:
    wrong = {}
    for name, query in route.query.items():
        for bad in query.bad:
            answer = await wire.send(route.service, route.method, route.asking(name, bad))
            if emitted := complaint(answer, 400, "VALIDATION_ERROR"):
                wrong[f"{name}={bad[:40]}"] = emitted
        if query.required:
            answer = await wire.send(route.service, route.method, route.address)
            if emitted := complaint(answer, 400, "VALIDATION_ERROR"):
                wrong[f"without {name}"] = emitted
    assert wrong == {}


@pytest.mark.parametrize("route", WITH_QUERY, ids=lambda route: route.name)
async def test_the_message_names_the_parameter_as_the_client_wrote_it(
    wire: Wire, route: Route
) -> None:
    messages = {}
    for name, query in route.query.items():
        path = route.asking(name, query.bad[0])
        messages[name] = (await wire.send(route.service, route.method, path)).body["message"]
    misnamed = {
        name: emitted
        for name, emitted in messages.items()
        if not re.search(rf"\b{name}\b", emitted)
    }
    assert misnamed == {}


@pytest.mark.parametrize(("service", "path"), PATHS)
async def test_a_method_that_the_path_does_not_take(wire: Wire, service: str, path: str) -> None:
    taken = {route.method for route in ROUTES if (route.service, route.path) == (service, path)}
    address = next(route.address for route in ROUTES if route.path == path)
    wrong = {}
    async with nothing_stored(wire.shop):
        for method in set(METHODS) - taken:
            answer = await wire.send_json(service, method, address, {})
            allowed = set(answer.headers.get("Allow", "").replace(" ", "").split(","))
            emitted = complaint(answer, 405, "METHOD_NOT_ALLOWED")
            if allowed - {"OPTIONS", "HEAD"} != taken:
                emitted += f" Allow: {sorted(allowed)} instead of {sorted(taken)}"
            if emitted:
                wrong[method] = emitted
    assert wrong == {}


@pytest.mark.parametrize(("service", "path"), PATHS)
async def test_head_has_no_body(wire: Wire, service: str, path: str) -> None:
    """HEAD may be answered as GET is, or refused, but never with a body."""
    address = next(route.address for route in ROUTES if route.path == path)
    answer = await wire.send(service, "HEAD", address)
    assert answer.body == ""
    assert answer.status < 500
    if answer.status == 405:
        assert answer.headers["Allow"]
        assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("method", METHODS)
async def test_an_unknown_route(wire: Wire, service: str, method: str) -> None:
    paths = (
        *("/", "/api", "/api/v1", "/api/v2/orders", "/api/v1/nothing", "/health", "/%ff", "/a%00b"),
        *("/schema/nothing", "/schema-assets/nothing.js", "/schema-assets/..%2f__init__.py"),
        f"/api/v1/nothing/{UUID_EXAMPLE}/more",
    )
    wrong = {}
    for path in paths:
        answer = await wire.send_json(service, method, path, {})
        static = path.startswith(("/schema", "/health"))
        if emitted := complaint(answer, None if static else 404, None if static else "NOT_FOUND"):
            wrong[path] = emitted
    assert wrong == {}


@pytest.mark.parametrize("service", SERVICES)
async def test_the_documentation_shows_the_error_format(wire: Wire, service: str) -> None:
    """Who generates a client from openapi.json must get the errors that are really sent."""
    document = await wire.openapi(service)
    wrong = set()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for status, response in operation["responses"].items():
                if status.startswith(("4", "5")):
                    schema = response["content"]["application/json"]["schema"]
                    name = schema.get("$ref", "").rpartition("/")[2]
                    schema = document["components"]["schemas"][name] if name else schema
                    if set(schema["properties"]) != {"error", "message", "details"}:
                        wrong.add(f"{method.upper()} {path} {status}")
    assert wrong == set()
