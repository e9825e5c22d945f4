"""Checks of each answer beside Schemathesis' own, which loads this file by its name."""

from typing import Any

import schemathesis
from schemathesis import Case, CheckContext, Response

from tests.e2e.api.raw_http import complaint
from tests.kit import client

OF_EVERY_RESPONSE = {"content-type", "content-length", "date", "server", "transfer-encoding"}


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
    documented = case.operation.definition.raw["responses"].get(str(response.status_code), {})
    if response.status_code >= 400 and case.method != "HEAD" and documented:
        known = documented["content"]["application/json"].get("examples", {})
        code = response.json().get("error")
        assert code is None or code in known, f"{code}: name it in the route's refusals(...)"
    sent = {name.lower() for name in response.headers} - OF_EVERY_RESPONSE
    unknown = sent - {name.lower() for name in documented.get("headers", {})}
    assert not (documented and unknown), f"the route's document lacks the headers {unknown}"


@schemathesis.check
def rejected_request_gets_retry_after(_: CheckContext, response: Response, __: Case[Any]) -> None:
    assert response.status_code != 503 or "retry-after" in response.headers
