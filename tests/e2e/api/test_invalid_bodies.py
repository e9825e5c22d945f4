"""Invalid bodies: each is refused with VALIDATION_ERROR and stores nothing."""

import json
from collections.abc import AsyncIterator, Iterable, Iterator
from copy import deepcopy
from typing import Any
from uuid import uuid4

import pytest

from tests.e2e.api.raw_http import (
    JSON_TYPE,
    Wire,
    complaint,
    new_rows,
    nothing_stored,
    stored_at_rest,
)
from tests.e2e.api.routes import (
    BY_NAME,
    ROUTES,
    UUID_EXAMPLE,
    VALID_BODY_CODES,
    Field,
    Json,
    Route,
    valid,
)
from tests.kit.client import Response

WITH_BODY = list({(each.path, id(each.body)): each for each in ROUTES if each.body}.values())
"""A route that every service has is tried at one of them."""

EVERY_ROUTE = pytest.mark.parametrize("route", WITH_BODY, ids=lambda route: route.name)
LIMIT_BYTES = 64 * 1024
NO_SHAPE: tuple[Any, ...] = (1, 0, True, "x", "", "null", [[]])
DEEP = 20_000


async def send(wire: Wire, route: Route, body: Any, **headers: str) -> Response:
    # Each request has its own key, so that no earlier answer is returned.
    key = {"Idempotency-Key": str(uuid4())} if route.key else {}
    return await wire.send(
        route.service, route.method, route.address, body, JSON_TYPE | key | headers
    )


async def complaints(
    wire: Wire, route: Route, bodies: Iterable[tuple[str, Any]], code: str = "VALIDATION_ERROR"
) -> dict[str, Any]:
    """The wrong answers to these bodies. Also asserts that none stores a row."""
    wrong: dict[str, Any] = {}
    before = await stored_at_rest(wire.shop)
    for what, body in bodies:
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        if problem := complaint(await send(wire, route, sent), 400, code):
            wrong[what] = problem
    return wrong | new_rows(before, await stored_at_rest(wire.shop))


def changed(whole: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The body with another value at this path."""
    result = deepcopy(whole)
    inner = result
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return result


def without(whole: Any, path: tuple[Any, ...]) -> Any:
    result = deepcopy(whole)
    inner = result
    for step in path[:-1]:
        inner = inner[step]
    del inner[path[-1]]
    return result


def fields(shape: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Field]]:
    if isinstance(shape, Field):
        yield path, shape
    else:
        for step, inner in enumerate(shape) if isinstance(shape, list) else shape.items():
            yield from fields(inner, (*path, step))


def objects(shape: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(shape, dict | list):
        if isinstance(shape, dict):
            yield path
        for step, inner in enumerate(shape) if isinstance(shape, list) else shape.items():
            yield from objects(inner, (*path, step))


def named(path: tuple[Any, ...], value: Any) -> str:
    return f"{'.'.join(map(str, path))} = {json.dumps(value)[:40]}"


def wrong_values(route: Route) -> Iterator[tuple[str, Json]]:
    whole = valid(route.body)
    for path, field in fields(route.body):
        for value in (*field.bad, *(() if field.nullable else (None,))):
            yield named(path, value), changed(whole, path, value)


def whole_numbers_as_floats(route: Route) -> Iterator[tuple[str, Json]]:
    whole = valid(route.body)
    for path, field in fields(route.body):
        if type(field.example) is int:
            yield named(path, float(field.example)), changed(whole, path, float(field.example))


def missing_fields(route: Route) -> Iterator[tuple[str, Json]]:
    whole = valid(route.body)
    for path, field in fields(route.body):
        if field.required:
            yield f"without {path}", without(whole, path)


def unknown_fields(route: Route) -> Iterator[tuple[str, Json]]:
    whole = valid(route.body)
    for path in objects(route.body):
        yield f"surplus in {path}", changed(whole, (*path, "surplus"), 1)
        yield f"empty name in {path}", changed(whole, (*path, ""), None)
    for path, _ in fields(route.body):
        # Snake case and another case: near misses that could be ignored unnoticed.
        for name in {f"{path[-1]}s", str(path[-1]).upper(), f"_{path[-1]}"}:
            yield f"{name} beside {path}", changed(whole, (*path[:-1], name), 1)


def malformed(route: Route) -> Iterator[tuple[str, bytes]]:
    whole = json.dumps(valid(route.body)).encode()
    for text in (b"", b" ", b"{", b"}", b"{]", b"nope", b"'x'", b"\x00", b"\xef\xbb\xbf", b"{} {}"):
        yield repr(text), text
    yield "cut short", whole[:-1]
    yield "a comma too many", whole[:-1] + b",}"
    yield "something after it", whole + b"x"
    yield "a comment", b"/* */" + whole
    yield "NaN", whole[:-1] + b', "surplus": NaN}'
    yield "half a surrogate", whole[:-1] + b', "surplus": "\\ud800"}'
    yield "a control character", whole[:-1] + b', "surplus": "\n"}'
    yield "UTF-16", whole.decode().encode("utf-16")


def another_type(_: Route) -> Iterator[tuple[str, Any]]:
    values: tuple[Any, ...] = ([], [{}], [1], "text", "", 3, 0, 1.5, True, False, None)
    for value in values:
        yield json.dumps(value), value


@EVERY_ROUTE
async def test_valid_body_is_accepted(wire: Wire, route: Route) -> None:
    """The invalid bodies below differ from this one in one thing. It may name unknown ids."""
    body = json.dumps(valid(route.body)).encode()
    answer = await send(wire, route, body)
    assert answer.status in (200, 201) or answer.body["error"].endswith(VALID_BODY_CODES), answer


@EVERY_ROUTE
async def test_wrong_value_is_refused(wire: Wire, route: Route) -> None:
    assert await complaints(wire, route, wrong_values(route)) == {}


@EVERY_ROUTE
async def test_missing_field_is_refused(wire: Wire, route: Route) -> None:
    assert await complaints(wire, route, missing_fields(route)) == {}


@EVERY_ROUTE
async def test_unknown_field_is_refused(wire: Wire, route: Route) -> None:
    assert await complaints(wire, route, unknown_fields(route)) == {}


@EVERY_ROUTE
async def test_malformed_json_is_refused(wire: Wire, route: Route) -> None:
    assert await complaints(wire, route, malformed(route)) == {}


@EVERY_ROUTE
async def test_json_of_another_type_is_refused(wire: Wire, route: Route) -> None:
    assert await complaints(wire, route, another_type(route)) == {}


@EVERY_ROUTE
async def test_float_is_refused_as_a_whole_number(wire: Wire, route: Route) -> None:
    """3.0 too: a client that computes with floats sends 2.9999999 another time."""
    assert await complaints(wire, route, whole_numbers_as_floats(route)) == {}


@EVERY_ROUTE
async def test_body_that_is_not_utf_8_is_refused(wire: Wire, route: Route) -> None:
    whole = json.dumps(valid(route.body)).encode()
    bodies = [
        ("an invalid byte in a text", whole[:-1] + b', "surplus": "\xff"}'),
        ("an invalid byte in a name", whole[:-1] + b', "\xc3": 1}'),
        ("an invalid byte outside", whole + b"\xff"),
    ]
    assert await complaints(wire, route, bodies) == {}


@EVERY_ROUTE
async def test_deeply_nested_json_is_refused(wire: Wire, route: Route) -> None:
    bodies = [
        ("arrays", b'{"surplus":' + b"[" * DEEP + b"]" * DEEP + b"}"),
        ("objects", b'{"a":' * (DEEP // 2) + b"1" + b"}" * (DEEP // 2)),
        ("arrays without an end", b"[" * DEEP),
    ]
    assert await complaints(wire, route, bodies) == {}


@EVERY_ROUTE
async def test_body_above_the_size_limit_answers_413(wire: Wire, route: Route) -> None:
    whole = json.dumps(valid(route.body)).encode()
    wrong = {}

    async def in_chunks() -> AsyncIterator[bytes]:
        for _ in range(17):
            yield b" " * (LIMIT_BYTES // 16)
        yield whole

    async with nothing_stored(wire.shop):
        for what, body in (
            ("at once", whole.ljust(LIMIT_BYTES + 1)),
            ("much at once", whole.ljust(LIMIT_BYTES * 16)),
            ("in chunks", in_chunks()),
        ):
            answer = await send(wire, route, body)
            problem = complaint(answer, 413, "BODY_TOO_LARGE")
            if problem or str(LIMIT_BYTES) not in answer.body["message"]:
                wrong[what] = problem or answer.body["message"]
    assert wrong == {}


@EVERY_ROUTE
async def test_body_at_the_size_limit_is_read(wire: Wire, route: Route) -> None:
    body = json.dumps(valid(route.body) | {"surplus": 1}).encode().ljust(LIMIT_BYTES)
    answer = await send(wire, route, body)
    assert not complaint(answer, 400, "VALIDATION_ERROR"), answer
    assert "surplus" in answer.body["message"]


@EVERY_ROUTE
async def test_other_content_type_is_refused(wire: Wire, route: Route) -> None:
    """Text with the bytes of JSON is refused. The default content type of `curl -d` is accepted."""
    whole = json.dumps(valid(route.body)).encode()
    wrong = {}
    async with nothing_stored(wire.shop):
        for content_type in (
            *("text/plain", "text/html", "application/xml", "application/octet-stream"),
            *("multipart/form-data; boundary=x", "application/msgpack", "nonsense"),
        ):
            answer = await send(wire, route, whole, **{"Content-Type": content_type})
            problem = complaint(answer)
            if not problem and answer.body["error"].endswith(VALID_BODY_CODES):
                problem = "it was read as JSON, and its id looked for"
            if problem:
                wrong[content_type] = problem
    assert wrong == {}


async def test_list_of_wrong_length_is_refused(wire: Wire) -> None:
    """An order has from 1 to 100 lines, and its address is complete or missing."""
    route = BY_NAME["order POST /api/v1/orders"]
    whole = valid(route.body)
    line = whole["items"][0]
    bodies: list[tuple[str, Any]] = [("no line", changed(whole, ("items",), []))]
    bodies += [("101 lines", changed(whole, ("items",), [line] * 101))]
    bodies += [(named(("items",), each), changed(whole, ("items",), each)) for each in NO_SHAPE]
    bodies += [(named(("line",), each), changed(whole, ("items", 0), each)) for each in NO_SHAPE]
    bodies += [(named(("address",), each), changed(whole, ("address",), each)) for each in NO_SHAPE]
    bodies += [("no lines", changed(whole, ("items",), None))]
    bodies += [("an address in a list", changed(whole, ("address",), [whole["address"]]))]
    bodies += [("lines by name", changed(whole, ("items",), {UUID_EXAMPLE: 1}))]
    assert await complaints(wire, route, bodies) == {}


async def test_text_null_is_a_text(wire: Wire) -> None:
    """It is neither JSON's null nor a missing field."""
    await wire.shop.create_category("null")
    body = {"name": "null", "price": 3, "description": "null", "category": "null"}
    made = await wire.send_json("product", "POST", "/api/v1/products", body)
    assert made.status == 201, made
    assert {name: made.body[name] for name in body} == body
    path = f"/api/v1/products/{made.body['productId']}"
    named = await wire.send_json("product", "PATCH", path, {"name": "Tea"})
    assert named.body["name"] == "Tea"
    renamed = await wire.send_json("product", "PATCH", path, {"name": "null"})
    assert renamed.body["name"] == "null"


async def test_problem_of_a_body_names_the_field(wire: Wire) -> None:
    route = BY_NAME["order POST /api/v1/orders"]
    wrong = changed(valid(route.body), ("items", 0, "quantity"), 0)
    answer = await wire.send_json(route.service, route.method, route.address, wrong)
    assert not complaint(answer, 400, "VALIDATION_ERROR"), answer
    [problem] = answer.body["details"]["problems"]
    assert problem["key"] == "items[0].quantity"
    assert answer.body["message"] == f"items[0].quantity: {problem['message']}"
