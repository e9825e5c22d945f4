"""Reading requests strictly: a value of the wrong type is refused, not converted.

The framework would read `"3"` as 3 and the text "null" as nothing, and answer 500 to bytes that are
not UTF-8. Here a body is decoded once, from its bytes into the type that the route declares.
"""

from typing import Any, get_args

import msgspec
from litestar import Request
from litestar.datastructures import State
from litestar.params import QueryParameter

from chassis.web.errors import invalid, invalid_body
from saga.errors import Invalid, UnsupportedMediaType

_JSON = ("application/json", "application/x-www-form-urlencoded")  # the second is sent by curl -d


class StrictRequest(Request[Any, Any, State]):
    async def body(self) -> bytes:
        """Raises Invalid when the route needs a body and there is none."""
        body = await super().body()
        if not body and self._wants_body:
            raise Invalid("the request has no body; send a JSON object, see /schema")
        return body

    async def json(self) -> Any:
        """The body, as the type that the route declares. Raises Invalid, UnsupportedMediaType."""
        kind = self.content_type[0].lower()
        if kind and kind not in _JSON and not kind.endswith("+json"):
            raise UnsupportedMediaType(f"send JSON (application/json), not {kind}")
        try:
            return msgspec.json.decode(await self.body(), type=self._wanted)
        except RecursionError:
            raise Invalid("the body is nested too deeply") from None
        except UnicodeDecodeError:
            raise Invalid("the body is not UTF-8") from None
        except msgspec.ValidationError as error:
            raise invalid_body(error) from error
        except msgspec.DecodeError as error:
            raise Invalid(f"the body can't be used: {error}") from error

    @property
    def _wants_body(self) -> bool:
        return self.route_handler.parsed_data_field is not None

    @property
    def _wanted(self) -> Any:
        field = self.route_handler.parsed_data_field
        return field.annotation if field is not None else Any


def refuse_null(request: Request[Any, Any, Any]) -> None:
    """Raises Invalid for a query parameter "null", unless the route declares it as a text."""
    if b"null" not in request.scope["query_string"].lower():
        return
    for name, value in request.query_params.multi_items():
        if value.lower() == "null" and name not in _texts(request):
            raise invalid(name, "null is no value; leave the parameter out", "query")


def _texts(request: Request[Any, Any, Any]) -> set[str]:
    """The names of the query parameters that the route declares as texts."""
    return {
        field.kwarg_definition.name or name
        for name, field in request.route_handler.parsed_fn_signature.parameters.items()
        if isinstance(field.kwarg_definition, QueryParameter)
        and str in (field.annotation, *get_args(field.annotation))
    }
