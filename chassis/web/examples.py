"""An example for every route in the OpenAPI document: what to send, and what comes back.

They are composed from the schemas, with a service's example values by the name of a field or of a
body. A field without one is shown by its type.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

_TIME = "2026-01-31T09:00:00.000000Z"

_OF_TYPE: dict[str, tuple[type[Any], Any]] = {
    "integer": (int, 1),
    "boolean": (bool, True),
    "object": (dict, {}),
    "array": (list, []),
    "string": (str, "OK"),
}

Json = Mapping[str, Any]


class _Place(NamedTuple):
    """A field, and the schema that has it."""

    schema: str
    field: str

    def value(self, values: Json) -> Any:
        """The value for `Schema.field`, or for the field anywhere."""
        return values.get(f"{self.schema}.{self.field}", values.get(self.field))


_TOP = _Place("", "")


class Examples:
    """Puts an example at every path parameter and every body of an operation."""

    def __init__(self, schemas: Json, values: Json) -> None:
        self._schemas = schemas
        self._values = values

    def show(self, operation: Json) -> None:
        name = operation["operationId"]
        for parameter in operation.get("parameters", ()):
            if parameter["in"] == "path":
                parameter["example"] = self._values.get(parameter["name"], 1)
        for media in operation.get("requestBody", {}).get("content", {}).values():
            media["example"] = self._of(media["schema"], self._values, is_sent=True)
        for status, response in operation["responses"].items():
            for media in response.get("content", {}).values():
                if "examples" not in media:
                    media["example"] = self._answer(media["schema"], f"{name} {status}")

    def _answer(self, schema: Json, place: str) -> Any:
        """With the fields of this place in the place of all others of their names."""
        here = self._values.get(place, {})
        if isinstance(here, str):
            return here
        others = {k: v for k, v in self._values.items() if k.rpartition(".")[2] not in here}
        values = others | here
        return self._of(schema, values, is_sent=False)

    def _of(self, schema: Json, values: Json, place: _Place = _TOP, *, is_sent: bool) -> Any:
        """An example of the schema at this place. Optional fields are not sent."""
        name = schema.get("$ref", "").rpartition("/")[2]
        schema = self._schemas.get(name, schema)
        known = values.get(name, place.value(values))
        if "oneOf" in schema:
            shown = [each for each in schema["oneOf"] if each.get("type") != "null"]
            if known is None and len(shown) < len(schema["oneOf"]):
                return None
            return self._of(shown[0], values, place, is_sent=is_sent)
        if "properties" in schema and not isinstance(known, dict):
            names = schema.get("required", ()) if is_sent else schema["properties"]
            return {
                each: self._of(
                    schema["properties"][each], values, _Place(name, each), is_sent=is_sent
                )
                for each in names
            }
        if "items" in schema and not isinstance(known, list):
            return [self._of(schema["items"], values, place, is_sent=is_sent)]
        return _plain(schema, known)


def _plain(schema: Json, known: Any) -> Any:
    """The known value, or one of the schema's type where that is of another."""
    if "enum" in schema:
        return known if known in schema["enum"] else schema["enum"][0]
    if schema.get("format") == "date-time":
        return known or _TIME
    kind, other = _OF_TYPE[schema.get("type", "object")]
    return known if isinstance(known, kind) else other
