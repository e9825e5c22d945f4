"""What Schemathesis asks of each answer besides its own checks; it loads this file by its name."""

from typing import Any

import schemathesis
from schemathesis import Case, CheckContext, Response

from tests.e2e.api.raw_http import complaint
from tests.kit import client


@schemathesis.check
def refusals_have_one_form(_: CheckContext, response: Response, case: Case[Any]) -> None:
    """Every error is `{"error", "message", "details"}`, whoever found it."""
    if response.status_code >= 400 and case.method != "HEAD":
        headers = {"Content-Type": response.headers["content-type"][0]}
        answer = client.Response(response.status_code, headers, response.json())
        emitted = complaint(answer, response.status_code)
        assert not emitted, emitted


@schemathesis.check
def who_is_sent_away_is_told_when_to_come_back(
    _: CheckContext, response: Response, __: Case[Any]
) -> None:
    assert response.status_code != 503 or "retry-after" in response.headers
