"""An example for every route in the OpenAPI document: what to send, and what comes back.

They are composed from the schemas, with a service's example values by the name of a field or of a
body. A field without one is shown by its type.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from litestar import Litestar
from litestar.openapi.spec import (
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIType,
    Operation,
    PathItem,
    Reference,
    RequestBody,
    Schema,
)

_TIME = "2026-01-31T09:00:00.000000Z"
_METRICS = "saga_mailbox_waiting 0.0\n"


def show(app: Litestar, values: Mapping[str, Any]) -> None:
    """Put an example at every path parameter, every body and every successful answer."""
    document = app.openapi_schema
    maker = _Maker(document.components.schemas or {}, values)
    for item in (document.paths or {}).values():
        for operation in _operations(item):
            maker.show(operation)


def _operations(item: PathItem) -> list[Operation]:
    found = (item.get, item.post, item.put, item.patch, item.delete)
    return [operation for operation in found if operation is not None]


class _Maker:
    def __init__(self, schemas: Mapping[str, Schema], values: Mapping[str, Any]) -> None:
        self._schemas = schemas
        self._values = values

    def show(self, operation: Operation) -> None:
        for parameter in operation.parameters or ():
            if not isinstance(parameter, Reference) and parameter.param_in == "path":
                parameter.example = self._values.get(parameter.name)
        if isinstance(operation.request_body, RequestBody):
            self._show(operation.request_body.content, is_sent=True)
        for status, answer in (operation.responses or {}).items():
            if status.startswith("2") and not isinstance(answer, Reference):
                self._show(answer.content or {}, is_sent=False)

    def _show(self, content: Mapping[str, OpenAPIMediaType], *, is_sent: bool) -> None:
        for media_type, media in content.items():
            if media_type == "text/plain":
                media.example = _METRICS
            elif media.schema is not None:
                media.example = self._of(media.schema, "", is_sent=is_sent)

    def _of(self, schema: Schema | Reference, name: str, *, is_sent: bool) -> Any:
        """An example of this schema, for a field of this name. Optional fields are not sent."""
        if isinstance(schema, Reference):
            known = self._values.get(schema.value)
            return known or self._of(self._schemas[schema.value], name, is_sent=is_sent)
        if schema.one_of:
            return self._of_either(schema.one_of, name, is_sent=is_sent)
        if schema.properties:
            names = (schema.required or ()) if is_sent else schema.properties
            return {
                each: self._of(schema.properties[each], each, is_sent=is_sent) for each in names
            }
        if isinstance(schema.items, Schema | Reference):
            return [self._of(schema.items, name, is_sent=is_sent)]
        return schema.enum[0] if schema.enum else self._plain(schema, name)

    def _of_either(self, schemas: Sequence[Schema | Reference], name: str, *, is_sent: bool) -> Any:
        """Null, where that is allowed and the field has no value."""
        shown = [each for each in schemas if not _is_null(each)]
        if len(shown) < len(schemas) and name not in self._values:
            return None
        return self._of(shown[0], name, is_sent=is_sent)

    def _plain(self, schema: Schema, name: str) -> Any:
        known = self._values.get(name)
        match schema.type:
            case OpenAPIType.INTEGER:
                return known if isinstance(known, int) else 1
            case OpenAPIType.BOOLEAN:
                return True
            case OpenAPIType.OBJECT:
                return known if isinstance(known, dict) else {}
        if schema.format == OpenAPIFormat.DATE_TIME:
            return _TIME
        return known if isinstance(known, str) else name.upper() or "OK"


def _is_null(schema: Schema | Reference) -> bool:
    return isinstance(schema, Schema) and schema.type is OpenAPIType.NULL
