"""Every route of every service answers errors in the error format, and stores nothing then."""

import re

import pytest

from tests.e2e.api.raw_http import Wire, complaint, nothing_stored, refused
from tests.e2e.api.routes import ROUTES, UUID_EXAMPLE, Route, valid
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
async def test_table_has_every_route(wire: Wire, service: str) -> None:
    """All tests below run on a new route once it has a line in tests.e2e.api.routes."""
    paths = (await wire.openapi(service))["paths"]
    served = {
        f"{service} {method.upper()} {re.sub(r'{[^}]+}', '{}', path)}"
        for path, methods in paths.items()
        for method in methods
    }
    assert served == {route.name for route in ROUTES if route.service == service}


@pytest.mark.parametrize("route", WITH_ID, ids=lambda route: route.name)
async def test_unknown_id_answers_404(wire: Wire, route: Route) -> None:
    body = valid(route.body or {})
    async with nothing_stored(wire.shop):
        answer = await wire.send_json(
            route.service, route.method, route.address, body, idempotency_key="unknown-id"
        )
    assert route.unknown is not None
    refused(answer, 404, route.unknown)


@pytest.mark.parametrize("route", WITH_ID, ids=lambda route: route.name)
async def test_malformed_id_answers_400(wire: Wire, route: Route) -> None:
    body = valid(route.body or {})
    wrong = {}
    is_number = "dead-letters" in route.path
    bad_ids = ("x", "1.5", "%00", "-1", "9" * 18, "9" * 30) if is_number else BAD_IDS
    async with nothing_stored(wire.shop):
        for bad in bad_ids:
            path = route.path.replace("{}", bad)
            answer = await wire.send_json(
                route.service, route.method, path, body, idempotency_key="bad-id"
            )
            if problem := complaint(answer, 404 if is_number else 400):
                wrong[bad] = problem
    assert wrong == {}


@pytest.mark.parametrize("route", WITH_QUERY, ids=lambda route: route.name)
async def test_invalid_query_parameter_answers_400(wire: Wire, route: Route) -> None:
    wrong = {}
    for name, query in route.query.items():
        for bad in query.bad:
            answer = await wire.send(route.service, route.method, route.with_query(name, bad))
            if problem := complaint(answer, 400, "VALIDATION_ERROR"):
                wrong[f"{name}={bad[:40]}"] = problem
        if query.required:
            answer = await wire.send(route.service, route.method, route.address)
            if problem := complaint(answer, 400, "VALIDATION_ERROR"):
                wrong[f"without {name}"] = problem
    assert wrong == {}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
async def test_unknown_query_parameter_answers_400(wire: Wire, route: Route) -> None:
    """The message names it and lists those that there are. Health and metrics ignore it."""
    if not route.path.startswith("/api/v1"):
        return
    body = valid(route.body or {})
    wrong = {}
    async with nothing_stored(wire.shop):
        for name in ("buyerId", "page_size", "x", *(each.upper() for each in route.query)):
            path = f"{route.address}?{name}=1"
            answer = await wire.send_json(
                route.service, route.method, path, body, idempotency_key=f"unknown-{name}"
            )
            problem = complaint(answer, 400, "VALIDATION_ERROR")
            words = {name, *route.query}
            if problem or not all(word in answer.body["message"] for word in words):
                wrong[name] = problem or answer.body["message"]
    assert wrong == {}


@pytest.mark.parametrize("route", WITH_QUERY, ids=lambda route: route.name)
async def test_message_names_the_query_parameter_as_sent(wire: Wire, route: Route) -> None:
    messages = {}
    for name, query in route.query.items():
        path = route.with_query(name, query.bad[0])
        messages[name] = (await wire.send(route.service, route.method, path)).body["message"]
    misnamed = {
        name: problem
        for name, problem in messages.items()
        if not re.search(rf"\b{name}\b", problem)
    }
    assert misnamed == {}


@pytest.mark.parametrize(("service", "path"), PATHS)
async def test_other_method_answers_405(wire: Wire, service: str, path: str) -> None:
    taken = {route.method for route in ROUTES if (route.service, route.path) == (service, path)}
    address = next(route.address for route in ROUTES if route.path == path)
    wrong = {}
    async with nothing_stored(wire.shop):
        for method in set(METHODS) - taken:
            answer = await wire.send_json(service, method, address, {})
            allowed = set(answer.headers.get("Allow", "").replace(" ", "").split(","))
            problem = complaint(answer, 405, "METHOD_NOT_ALLOWED")
            expected = taken | ({"HEAD"} if "GET" in taken else set())
            if allowed - {"OPTIONS"} != expected:
                problem += f" Allow: {sorted(allowed)} instead of {sorted(expected)}"
            if problem:
                wrong[method] = problem
    assert wrong == {}


@pytest.mark.parametrize(("service", "path"), PATHS)
async def test_head_answers_as_get_without_a_body(wire: Wire, service: str, path: str) -> None:
    address = next(route.address for route in ROUTES if route.path == path)
    answer = await wire.send(service, "HEAD", address)
    read = await wire.send(service, "GET", address)
    assert answer.body == ""
    assert answer.status == read.status < 500
    for name in ("Content-Type", "Allow"):
        assert answer.headers.get(name) == read.headers.get(name)


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("method", METHODS)
async def test_unknown_route_answers_404(wire: Wire, service: str, method: str) -> None:
    paths = (
        *("/", "/api", "/api/v1", "/api/v2/orders", "/api/v1/nothing", "/health", "/%ff", "/a%00b"),
        *("/schema/nothing", "/schema-assets/nothing.js", "/schema-assets/..%2f__init__.py"),
        f"/api/v1/nothing/{UUID_EXAMPLE}/more",
    )
    wrong = {}
    for path in paths:
        answer = await wire.send_json(service, method, path, {})
        static = path.startswith(("/schema", "/health"))
        if problem := complaint(answer, None if static else 404, None if static else "NOT_FOUND"):
            wrong[path] = problem
    assert wrong == {}


@pytest.mark.parametrize("service", SERVICES)
async def test_openapi_describes_the_error_format(wire: Wire, service: str) -> None:
    """A client that is generated from openapi.json has to know the real errors.

    A probe that fails is none: it answers 503 with what it found.
    """
    document = await wire.openapi(service)
    wrong = set()
    for path, methods in document["paths"].items():
        if path.startswith("/health"):
            continue
        for method, operation in methods.items():
            for status, response in operation["responses"].items():
                if status.startswith(("4", "5")):
                    schema = response["content"]["application/json"]["schema"]
                    name = schema.get("$ref", "").rpartition("/")[2]
                    schema = document["components"]["schemas"][name] if name else schema
                    if set(schema["properties"]) != {"error", "message", "details"}:
                        wrong.add(f"{method.upper()} {path} {status}")
    assert wrong == set()
