"""What the framework leaves out of an OpenAPI document, added to it as plain JSON.

Descriptions of schemas and fields, error codes, headers of responses, who may call a route, and an
example of every body.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from inspect import cleandoc
from typing import Any, TypeAlias, get_args, get_origin, get_type_hints

import msgspec
from litestar.handlers import HTTPRouteHandler

from chassis.web import error_codes, response_headers
from chassis.web.access import Access
from chassis.web.dependencies import Page
from chassis.web.error_codes import ErrorCode, codes_of
from chassis.web.examples import Examples
from chassis.web.schemas import Body
from chassis.web.words import DESCRIPTIONS, EXAMPLES

Json: TypeAlias = dict[str, Any]
Handlers: TypeAlias = dict[str, HTTPRouteHandler]
"""The routes' handlers by operation id."""

_SCHEMES = {
    "accessToken": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "An access token. With `AUTH=off` none is asked for.",
    },
    "operators": {
        "type": "http",
        "scheme": "bearer",
        "description": "Their token. None is asked for with `AUTH=off` and no `OPS_TOKEN`.",
    },
}
_UNAUTHENTICATED = (
    error_codes.UNAUTHENTICATED,
    error_codes.TOKEN_EXPIRED,
    error_codes.TOKEN_INVALID,
)
_CODES = "Stable, for programs. docs/errors.md has when a client gets each, and what to do then."


class Vocabulary(msgspec.Struct, frozen=True):
    """A service's words.

    `examples` and `descriptions` are found by `Schema.field`, then by the name of the field. An
    example is also found by the name of a schema; `operationId status` has the fields that differ
    in this response.
    """

    examples: Mapping[str, Any] = {}
    descriptions: Mapping[str, str] = {}
    errors: Sequence[ErrorCode] = ()


def complete(document: Json, handlers: Handlers, vocabulary: Vocabulary) -> Json:
    """The document with all of that. It is changed in place."""
    schemas: Json = document["components"]["schemas"]
    words = DESCRIPTIONS | dict(vocabulary.descriptions)
    codes = [*codes_of(error_codes), *vocabulary.errors]
    _describe_schemas(schemas, _kinds(handlers.values()), words)
    _list_codes(schemas, codes)
    document["components"]["securitySchemes"] = _SCHEMES
    examples = Examples(schemas, EXAMPLES | dict(vocabulary.examples))
    for methods in document["paths"].values():
        for operation in methods.values():
            handler = handlers[operation["operationId"]]
            _say_who_may_call(operation, handler)
            for parameter in operation.get("parameters", ()):
                parameter.setdefault("description", words.get(parameter["name"], ""))
                parameter["schema"] = _without_null(parameter["schema"])
            response_headers.describe(operation, handler)
            examples.show(operation)
    completed: Json = _with_whole_numbers(document)
    return completed


def _describe_schemas(
    schemas: Json, kinds: Mapping[str, type[Any]], words: Mapping[str, str]
) -> None:
    for name, schema in schemas.items():
        kind = kinds.get(name, Page)  # a page has a name of its own
        schema["title"] = name
        schema["description"] = cleandoc(kind.__dict__.get("__doc__") or "")
        if issubclass(kind, Body):
            schema["additionalProperties"] = False
        for field, described in schema.get("properties", {}).items():
            word = words.get(f"{name}.{field}") or words.get(field, "")
            described.setdefault("description", word)


def _say_who_may_call(operation: Json, handler: HTTPRouteHandler) -> None:
    """The security of a route that is not public, and the errors that follow from it."""
    guards = [each for each in handler.resolve_guards() if isinstance(each, Access)]
    for access in guards:
        if not access.is_public:
            schemes = ["accessToken", *(["operators"] if access.has_machines else [])]
            operation["security"] = [{scheme: []} for scheme in schemes]
            responses = operation["responses"]
            _add_refusals(responses, "401", _UNAUTHENTICATED)
            _add_refusals(responses, "403", (error_codes.FORBIDDEN,))
            responses["403"]["description"] += f" This is for {access.name}."
            operation["responses"] = dict(sorted(responses.items()))


def _add_refusals(responses: Json, status: str, codes: Sequence[ErrorCode]) -> None:
    """To those that the route itself answers with this status."""
    meaning = " ".join(f"`{each.code}`: {each.when}" for each in codes)
    shown = {
        each.code: {"summary": each.when, "value": {"error": each.code, "message": each.when}}
        for each in codes
    }
    if status in responses:
        responses[status]["description"] += f" {meaning}"
        responses[status]["content"]["application/json"]["examples"] |= shown
    else:
        media = {"schema": {"$ref": "#/components/schemas/Error"}, "examples": shown}
        responses[status] = {"description": meaning, "content": {"application/json": media}}


def _list_codes(schemas: Json, codes: Iterable[ErrorCode]) -> None:
    names = sorted({each.code for each in codes})
    schemas["ErrorCode"] = {
        "type": "string",
        "enum": names,
        "title": "ErrorCode",
        "description": _CODES,
    }
    error = schemas["Error"]["properties"]
    error["error"] = {
        "$ref": "#/components/schemas/ErrorCode",
        "description": error["error"]["description"],
    }


def _kinds(handlers: Iterable[HTTPRouteHandler]) -> dict[str, type[Any]]:
    """The classes of the bodies that routes take and answer with, by name."""
    found: dict[str, type[Any]] = {}
    for handler in handlers:
        data = handler.parsed_data_field
        others = (each.data_container for each in (handler.responses or {}).values())
        for annotation in (
            handler.parsed_fn_signature.return_type.annotation,
            data and data.annotation,
            *others,
            *(each.annotation for each in handler.parsed_fn_signature.parameters.values()),
        ):
            _find_kinds(annotation, found)
    return found


def _find_kinds(annotation: Any, found: dict[str, type[Any]]) -> None:
    kind = get_origin(annotation) or annotation
    is_shape = isinstance(kind, type) and issubclass(kind, msgspec.Struct | Enum)
    if is_shape and kind.__name__ not in found:
        found[kind.__name__] = kind
        for hint in get_type_hints(kind).values():
            _find_kinds(hint, found)
    for argument in get_args(annotation):
        _find_kinds(argument, found)


def _without_null(schema: Json) -> Json:
    """A parameter is left out, and never null."""
    match schema:
        case {"oneOf": [shown, {"type": "null"}], **others}:
            return {**shown, **others}
    return schema


def _with_whole_numbers(node: Any) -> Any:
    """The framework has 1.0 where a bound is 1."""
    match node:
        case dict():
            return {name: _with_whole_numbers(each) for name, each in node.items()}
        case list() | tuple():
            return [_with_whole_numbers(each) for each in node]
        case float() if node.is_integer():
            return int(node)
    return node
