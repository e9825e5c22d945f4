"""Checks of each answer beside Schemathesis' own, which loads this file by its name."""

from typing import Any

import schemathesis
from schemathesis import Case, CheckContext, Response

from tests.e2e.api.raw_http import complaint
from tests.kit import client


@schemathesis.check
def refusals_have_one_form(_: CheckContext, response: Response, case: Case[Any]) -> None:
    """Every error is `{"error", "message", "details"}`, in the framework and in the routes."""
    if response.status_code >= 400 and case.method != "HEAD":
        headers = {"Content-Type": response.headers["content-type"][0]}
        answer = client.Response(response.status_code, headers, response.json())
        found = complaint(answer, response.status_code)
        assert not found, found


@schemathesis.check
def rejected_request_gets_retry_after(_: CheckContext, response: Response, __: Case[Any]) -> None:
    assert response.status_code != 503 or "retry-after" in response.headers
