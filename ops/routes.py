"""Calls of the services' operators' routes."""

from collections.abc import Mapping
from typing import Any

import httpx

from infra.stack.config import StackError
from ops.deployment import Deployment

_TIMEOUT_SECONDS = 10.0


def call(
    shop: Deployment,
    service: str,
    method: str,
    path: str,
    *,
    query: Mapping[str, str | int] | None = None,
    body: Mapping[str, Any] | None = None,
) -> httpx.Response:
    """Send a request to /api/v1/ops. Raises StackError without an answer, and for a refusal."""
    try:
        answer = httpx.request(
            method,
            f"{shop.url(service)}/api/v1/ops/{path}",
            params=query,
            json=body,
            headers=shop.headers,
            timeout=_TIMEOUT_SECONDS,
            trust_env=False,
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise StackError(f"{service} does not answer ({error}). Look at: make status") from error
    if not answer.is_success:
        raise StackError(f"{service}: {_message(answer)}")
    return answer


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError):
        return f"HTTP {answer.status_code}"
