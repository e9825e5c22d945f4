"""Reading requests strictly: a value of the wrong type is refused, not converted.

The framework would read `"3"` as 3 and the text "null" as nothing, and answer 500 to bytes that are
not UTF-8. Here a body is decoded once, from its bytes into the type that the route declares. An
unknown query parameter is refused as an unknown field of a body is: a misspelt filter would else
filter nothing.
"""

import codecs
import re
from collections.abc import Collection, Mapping
from functools import cache
from typing import Any, get_args

import msgspec
from litestar import Request
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler
from litestar.params import QueryParameter

from chassis.settings import ANY_ORIGIN
from chassis.web.errors import invalid, invalid_body
from saga.errors import Invalid, UnsupportedMediaType

_JSON = ("", "application/json", "application/x-www-form-urlencoded")
"""What a body of JSON may be sent as: without a type too, and as a form, which `curl -d` does."""

_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain")
"""What a page may send to another site without asking it (the encodings of an HTML form)."""

_FLOAT = re.compile(r"-?[0-9]+[.eE]")


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
        if kind not in _JSON and not kind.endswith("+json"):
            raise UnsupportedMediaType(f"send JSON (application/json), not {kind}")
        encoding = self.headers.get("Content-Encoding", "identity")
        if encoding.strip().lower() != "identity":
            raise UnsupportedMediaType(f"send the body without Content-Encoding, not as {encoding}")
        try:
            body = (await self.body()).removeprefix(codecs.BOM_UTF8)
            return msgspec.json.decode(body, type=self._wanted)
        except RecursionError:
            raise Invalid("the body is nested too deeply") from None
        except UnicodeDecodeError:
            raise Invalid("the body is not UTF-8") from None
        except msgspec.ValidationError as error:
            raise invalid_body(error, self._wanted) from error
        except msgspec.DecodeError as error:
            raise Invalid(f"the body can't be used: {error}") from error

    @property
    def _wants_body(self) -> bool:
        return self.route_handler.parsed_data_field is not None

    @property
    def _wanted(self) -> Any:
        field = self.route_handler.parsed_data_field
        return field.annotation if field is not None else Any


def refuse_forgery(request: Request[Any, Any, Any], permitted: Collection[str]) -> None:
    """Raises UnsupportedMediaType for what a page of another site may send unasked.

    A browser asks before it sends JSON to another site (CORS preflight), and gets no permission.
    `permitted`: the origins that get it.
    """
    origin = request.headers.get("Origin")
    if request.method != "POST" or (origin and not {origin, ANY_ORIGIN}.isdisjoint(permitted)):
        return
    kind = request.content_type[0].lower()
    site = request.headers.get("Sec-Fetch-Site", "none")
    is_foreign = site not in ("none", "same-origin") or (
        origin is not None and origin.partition("://")[2] != request.headers.get("Host")
    )
    if (kind in _FORMS and (origin or is_foreign)) or (not kind and is_foreign):
        raise UnsupportedMediaType("a browser has to send this as JSON (application/json)")


def refuse_query(request: Request[Any, Any, Any]) -> None:
    """Raises Invalid for a query parameter that the route does not have, or can't mean.

    The framework would ignore an unknown one, and read "null" as nothing and "1.0" as 1.
    """
    if not request.scope["query_string"]:
        return
    known = _parameters(request.route_handler)
    for name, value in request.query_params.multi_items():
        if name not in known:
            takes = f"takes {', '.join(known)}" if known else "takes none"
            raise invalid(name, f"there is no such query parameter; this route {takes}", "query")
        types = known[name]
        if str not in types and value.lower() == "null":
            raise invalid(name, "null is no value; leave the parameter out", "query")
        if int in types and _FLOAT.match(value):
            raise invalid(name, "must be a whole number, not a decimal number", "query")


@cache
def _parameters(handler: HTTPRouteHandler) -> Mapping[str, tuple[Any, ...]]:
    """The types of a route's query parameters and of those of its dependencies, by name."""
    fields = dict(handler.parsed_fn_signature.parameters)
    for name, provided in handler.resolve_dependencies().items():
        if name in fields:
            fields |= provided.parsed_fn_signature.parameters
    return {
        field.kwarg_definition.name or name: (field.annotation, *get_args(field.annotation))
        for name, field in fields.items()
        if isinstance(field.kwarg_definition, QueryParameter)
    }
