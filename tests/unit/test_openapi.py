"""What holds for the OpenAPI document of every service (docs/openapi), so that clients can be made.

A new route that breaks a rule is named in the failure, with what it lacks.
"""

import ast
import json
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any, NamedTuple

import jsonschema_rs
import pytest

from chassis.web import error_codes
from chassis.web.error_codes import codes_of
from events.participants import PARTICIPANTS
from saga import errors as error_tree
from tests.e2e.api.routes import ROUTES
from tests.kit.client import ROOT

SERVICE = pytest.mark.parametrize("service", PARTICIPANTS)
PENDING, COMPLETED, CANCELLED = "PENDING", "COMPLETED", "CANCELLED"
STATES = {
    "order placeOrder 202": PENDING,
    "order placeOrder 200": COMPLETED,
    "order checkOut 202": PENDING,
    "order checkOut 200": COMPLETED,
    "order getOrder 200": COMPLETED,
    "order cancelOrder 200": CANCELLED,
    "order cancelOrder 202": COMPLETED,
    "product createProduct 201": "ACTIVE",
    "product getProduct 200": "ACTIVE",
    "product changeProduct 200": "ACTIVE",
    "payment getPayment 200": COMPLETED,
    "coupon issueCoupon 201": "ISSUED",
    "coupon getIssuedCoupon 200": "ISSUED",
    "coupon bookLostCoupon 200": "ISSUED",
    "coupon defineCoupon 201": "ACTIVE",
    "coupon getCoupon 200": "ACTIVE",
    "coupon changeCoupon request": "STOPPED",
    "coupon changeCoupon 200": "STOPPED",
    "dataplatform getDelivery 200": "SENT",
    **{f"{service} redriveDeadLetter 200": "REDRIVEN" for service in PARTICIPANTS},
    **{f"{service} redriveDeadLetter 202": "OPEN" for service in PARTICIPANTS},
    **{f"{service} dismissDeadLetter 200": "DISMISSED" for service in PARTICIPANTS},
    **{f"{service} getLiveness 200": "alive" for service in PARTICIPANTS},
    **{f"{service} getLiveness 503": "broken" for service in PARTICIPANTS},
    **{f"{service} getReadiness 200": "ready" for service in PARTICIPANTS},
    **{f"{service} getReadiness 503": "not ready" for service in PARTICIPANTS},
}
"""The `status` that the example of each answer shows: the one in which the answer is given."""

CANCELLATIONS = {"cancelOrder 200": "DONE", "cancelOrder 202": "REQUESTED"}


class Operation(NamedTuple):
    method: str
    path: str
    described: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.method} {self.path} ({self.described['operationId']})"

    @property
    def responses(self) -> dict[str, Any]:
        found: dict[str, Any] = self.described["responses"]
        return found

    @property
    def headers(self) -> dict[str, Any]:
        """The parameters that are headers, by name."""
        parameters = self.described.get("parameters", ())
        return {each["name"]: each for each in parameters if each["in"] == "header"}


def document_of(service: str) -> dict[str, Any]:
    """As it is committed. Another test compares it with the code."""
    found: dict[str, Any] = json.loads((ROOT / f"docs/openapi/{service}.json").read_text())
    return found


def operations(document: dict[str, Any]) -> Iterator[Operation]:
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            yield Operation(method.upper(), path, described)


def bodies(operation: Operation) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each body of a request or response: its place, and its schema and examples."""
    for media in operation.described.get("requestBody", {}).get("content", {}).values():
        yield "request", media
    for status, response in operation.responses.items():
        for media in response.get("content", {}).values():
            yield status, media


def examples(media: dict[str, Any]) -> list[Any]:
    if "example" in media:
        return [media["example"]]
    return [each["value"] for each in media.get("examples", {}).values()]


def validator(document: dict[str, Any], schema: dict[str, Any]) -> jsonschema_rs.Validator:
    whole = {**schema, "components": document["components"]}
    return jsonschema_rs.Draft202012Validator(whole, validate_formats=True)


@SERVICE
def test_every_operation_parameter_schema_and_field_has_a_description(service: str) -> None:
    document = document_of(service)
    lacking = []
    for operation in operations(document):
        if not operation.described.get("description"):
            lacking.append(f"{operation.name}: write a docstring of the route's function")
        lacking += [
            f"{operation.name}: describe {each['name']} in events/descriptions.py"
            for each in operation.described.get("parameters", ())
            if not each.get("description")
        ]
    for name, schema in document["components"]["schemas"].items():
        if not schema.get("description"):
            lacking.append(f"{name}: write a docstring of the class")
        lacking += [
            f"{name}.{field}: describe it in events/descriptions.py, or chassis/web/words.py"
            for field, described in schema.get("properties", {}).items()
            if not described.get("description")
        ]
    assert lacking == []


@SERVICE
def test_operation_ids_are_short(service: str) -> None:
    ids = [each.described["operationId"] for each in operations(document_of(service))]
    assert len(set(ids)) == len(ids)
    assert [name for name in ids if not re.fullmatch(r"[a-z]+([A-Z][a-z]+){0,4}", name)] == []


@SERVICE
def test_every_body_has_examples_that_are_valid_against_its_schema(service: str) -> None:
    document = document_of(service)
    wrong = []
    shown = 0
    for operation in operations(document):
        for place, media in bodies(operation):
            if not examples(media):
                wrong.append(f"{operation.name} {place}: no example")
            for example in examples(media):
                shown += 1
                errors = validator(document, media["schema"]).iter_errors(example)
                wrong += [f"{operation.name} {place}: {error.message}" for error in errors]
        for parameter in operation.described.get("parameters", ()):
            if parameter["in"] == "path":
                errors = validator(document, parameter["schema"]).iter_errors(parameter["example"])
                wrong += [f"{operation.name} {parameter['name']}: {e.message}" for e in errors]
    assert wrong == []
    assert shown > 30


def test_validation_of_examples_would_find_a_wrong_one() -> None:
    document = document_of("order")
    schema = {"$ref": "#/components/schemas/AcceptedView"}
    right = {"orderId": "x", "orderTrackingId": "x", "status": "PENDING", "totalAmount": 1}
    assert validator(document, schema).is_valid(right)
    assert not validator(document, schema).is_valid(right | {"status": "DONE"})
    del right["totalAmount"]
    assert not validator(document, schema).is_valid(right)


def test_every_example_shows_the_state_that_its_answer_describes() -> None:
    found, cancellations = {}, {}
    for service in PARTICIPANTS:
        for operation in operations(document_of(service)):
            for place, media in bodies(operation):
                name = f"{operation.described['operationId']} {place}"
                for example in examples(media):
                    if isinstance(example, dict) and "status" in example:
                        found[f"{service} {name}"] = example["status"]
                        if example.get("cancellation"):
                            cancellations[name] = example["cancellation"]["state"]
    assert found == STATES
    assert cancellations == CANCELLATIONS


@SERVICE
def test_amounts_of_examples_add_up(service: str) -> None:
    checked = 0
    for operation in operations(document_of(service)):
        for place, media in bodies(operation):
            for found in nested(examples(media)):
                if {"items", "totalAmount"} <= found.keys():
                    total = sum(each["price"] * each["quantity"] for each in found["items"])
                    assert total == found["totalAmount"], f"{operation.name} {place}"
                    checked += 1
                if {"totalAmount", "payableAmount"} <= found.keys():
                    left = found["totalAmount"] - found["discountAmount"]
                    assert left == found["payableAmount"], f"{operation.name} {place}"
                if "remaining" in found:
                    left = found["quantity"] - found["issued"]
                    assert left == found["remaining"], f"{operation.name} {place}"
    assert checked or service not in ("order", "dataplatform")


def nested(node: Any) -> Iterator[dict[str, Any]]:
    """Every object of a JSON value."""
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, list):
        for each in node:
            yield from nested(each)


@SERVICE
def test_error_codes_are_an_enum_and_each_answer_names_its_own(service: str) -> None:
    document = document_of(service)
    schemas = document["components"]["schemas"]
    known = {
        (each.code, each.status)
        for each in (*codes_of(error_codes), *codes_of(import_module(f"{service}.errors")))
    }
    assert schemas["ErrorCode"]["enum"] == sorted({code for code, _ in known})
    assert schemas["Error"]["properties"]["error"]["$ref"] == "#/components/schemas/ErrorCode"
    for operation in operations(document):
        for place, media in bodies(operation):
            if media["schema"].get("$ref") == "#/components/schemas/Error":
                codes = [example["error"] for example in examples(media)]
                assert codes, f"{operation.name} {place}: name its codes in refusals(...)"
                assert {(code, int(place)) for code in codes} <= known


def test_routes_with_an_id_name_the_code_for_an_unknown_one() -> None:
    named = {
        f"{service} {each.method} {re.sub(r'{[^}]+}', '{}', each.path)}": each.responses
        for service in PARTICIPANTS
        for each in operations(document_of(service))
    }
    wrong = []
    for route in ROUTES:
        if route.unknown:
            answer = named[route.name].get("404", {}).get("content", {})
            codes = answer.get("application/json", {}).get("examples", {})
            if route.unknown not in codes:
                wrong.append(f"{route.name}: responses=refusals({route.unknown}, ...)")
    assert wrong == []


@SERVICE
def test_required_headers_and_headers_of_responses_are_named(service: str) -> None:
    for operation in operations(document_of(service)):
        key = operation.headers.get("Idempotency-Key")
        for status, response in operation.responses.items():
            headers = response.get("headers", {})
            where = f"{operation.name} {status}"
            assert all(each["description"] and each["schema"] for each in headers.values()), where
            if status == "503" and "/health" not in operation.path:
                assert headers["Retry-After"]["required"], where
            if status == "401":
                assert headers["WWW-Authenticate"]["required"], where
            if status == "201":
                assert "Location" in headers, where
            if status < "300" and key is not None and not key["required"]:
                assert "Idempotency-Replayed" in headers, where
            if status < "300" and "Prefer" in operation.headers:
                assert {"Location", "Preference-Applied"} <= headers.keys(), where


def test_booking_routes_require_an_idempotency_key() -> None:
    required = {
        each.described["operationId"]
        for service in PARTICIPANTS
        for each in operations(document_of(service))
        if each.headers.get("Idempotency-Key", {}).get("required")
    }
    assert required == {"bookStock", "bookLostStock", "bookLostCharge"}


@SERVICE
def test_a_route_that_is_not_public_has_security_401_and_403(service: str) -> None:
    document = document_of(service)
    assert document["components"]["securitySchemes"].keys() == {"accessToken", "operators"}
    guarded = 0
    for operation in operations(document):
        security = [name for each in operation.described.get("security", ()) for name in each]
        is_operators = re.search(r"/api/v1/(ops|admin|deliveries)\b", operation.path) is not None
        assert ("operators" in security) == is_operators, operation.name
        assert ("accessToken" in security) == bool(security), operation.name
        signs_in = "/auth/" in operation.path
        assert ("401" in operation.responses) == (bool(security) or signs_in), operation.name
        assert ("403" in operation.responses) == bool(security), operation.name
        guarded += bool(security)
    assert guarded >= 5


@pytest.mark.parametrize("package", ["saga", "chassis", *PARTICIPANTS])
def test_every_error_code_in_the_source_is_documented_with_its_status(package: str) -> None:
    """docs/errors.md is written from the documented ones."""
    is_common = package not in PARTICIPANTS
    module = error_codes if is_common else import_module(f"{package}.errors")
    known = {(each.code, each.status) for each in codes_of(module)}
    raised = set(codes_raised(package))
    place = module.__name__.replace(".", "/")
    assert raised - known == set(), f"describe them, with this status, in {place}"
    if not is_common:
        assert known == raised, "a documented code is raised nowhere"


def codes_raised(package: str) -> Iterator[tuple[str, int]]:
    """The codes of the errors that a package's source makes, with the HTTP status of each."""
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                kind = getattr(error_tree, ast.unparse(node.func).removesuffix(".field"), None)
                for keyword in node.keywords:
                    if kind and keyword.arg == "code" and isinstance(keyword.value, ast.Constant):
                        yield str(keyword.value.value), kind.status_code
