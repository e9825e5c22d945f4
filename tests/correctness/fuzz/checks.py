"""Checks of each answer beside Schemathesis' own, which loads this file by its name."""

from typing import Any

import schemathesis
from schemathesis import Case, CheckContext, HookContext, Response

from tests.e2e.api.raw_http import complaint
from tests.kit import client

NO_ROUTE = "NOT_FOUND"
"""The code for a path that is no route's, such as one with an id that is no number."""

EVENT = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("id", "event", "data")},
    "required": ["id", "event", "data"],
}
OF_EVERY_RESPONSE = {
    *("cache-control", "content-length", "content-type", "date", "server", "transfer-encoding"),
    "x-content-type-options",
}


@schemathesis.hook
def before_load_schema(_: HookContext, raw_schema: dict[str, Any]) -> None:
    """Client generators take a stream of events for a text. Here the schema is of each event."""
    for methods in raw_schema["paths"].values():
        for operation in methods.values():
            media = operation["responses"].get("200", {}).get("content", {})
            if "text/event-stream" in media:
                media["text/event-stream"]["schema"] = EVENT


@schemathesis.check
def refusals_have_one_form(_: CheckContext, response: Response, case: Case[Any]) -> None:
    """Every error is `{"error", "message", "details"}`, in the framework and in the routes."""
    if response.status_code >= 400 and case.method != "HEAD":
        headers = {"Content-Type": response.headers["content-type"][0]}
        answer = client.Response(response.status_code, headers, response.json())
        found = complaint(answer, response.status_code)
        assert not found, found


@schemathesis.check
def every_code_and_header_is_documented(
    _: CheckContext, response: Response, case: Case[Any]
) -> None:
    """A route answers with no error code and no header that its document does not name."""
    responses = case.operation.definition.raw["responses"]
    documented = responses.get(str(response.status_code))
    if documented is None or case.method != case.operation.method.upper():
        return
    if response.status_code >= 400:
        codes = documented["content"]["application/json"].get("examples", {})
        code = response.json().get("error")
        named = code in (None, NO_ROUTE) or code in codes
        assert named, f"{code}: name it in the route's refusals(...)"
    sent = {name.lower() for name in response.headers} - OF_EVERY_RESPONSE
    unknown = sent - {name.lower() for name in documented.get("headers", {})}
    assert not unknown, f"the route's document lacks the headers {unknown}"


@schemathesis.check
def rejected_request_gets_retry_after(_: CheckContext, response: Response, __: Case[Any]) -> None:
    assert response.status_code != 503 or "retry-after" in response.headers
