"""The headers for browsers, and the cookie: what the OpenAPI documents name, pages may use."""

from typing import Any

import pytest
from litestar.types import Receive, Scope, Send

from chassis.web.access import NOT_SIGNED_IN, TRUSTED, Caller
from chassis.web.authentication import Authentication, cookie
from chassis.web.browsers import EXPOSED, TAKEN, Browsers
from events.participants import PARTICIPANTS
from saga.errors import ConfigurationError
from tests.kit.settings import settings_of
from tests.unit.test_openapi import document_of, operations

SHOP = "https://shop.example"
LOCAL = "http://localhost:3000"
READABLE = {"Cache-Control", "Content-Language", "Content-Type", "Content-Length"}
"""Headers that every browser lets scripts read (CORS-safelisted), of those that are used here."""

NOT_FOR_SCRIPTS = {"Set-Cookie", "Vary", "X-Accel-Buffering"}
CORS = "access-control-allow-"


async def answer(
    environment: dict[str, str], method: str = "GET", path: str = "/api/v1/x", **sent: str
) -> tuple[int, dict[str, str]]:
    """Status and headers of the answer to a request with these headers; repeated ones joined."""

    async def app(_: Scope, __: Receive, send: Send) -> None:
        of_app = [(b"content-type", kind.encode()), (b"vary", b"Accept-Language")]
        await send({"type": "http.response.start", "status": 200, "headers": of_app})

    kind = sent.pop("kind", "application/json")
    headers = [(name.replace("_", "-").encode(), value.encode()) for name, value in sent.items()]
    scope: Any = {"type": "http", "method": method, "path": path, "headers": headers}
    started: list[Any] = []

    async def send(message: Any) -> None:
        started.append(message)

    await Browsers(app, settings_of("order", environment))(scope, None, send)  # type: ignore[arg-type] # nothing is received
    found: dict[str, str] = {}
    for name, value in started[0]["headers"]:
        text = name.decode()
        found[text] = f"{found[text]}, {value.decode()}" if text in found else value.decode()
    return started[0]["status"], found


async def test_page_of_a_named_origin_may_read_an_answer_and_others_not() -> None:
    environment = {"CORS_ORIGINS": f"{SHOP}, {LOCAL}"}
    for origin in (SHOP, LOCAL):
        _, headers = await answer(environment, origin=origin)
        assert headers[f"{CORS}origin"] == origin
        assert headers[f"{CORS}credentials"] == "true"
        assert headers["vary"] == "Accept-Language, Origin"
        assert "Location" in headers["access-control-expose-headers"]
    for other in ("https://shop.example.evil", "https://evil", "null", "http://shop.example"):
        _, headers = await answer(environment, origin=other)
        assert not [name for name in headers if name.startswith("access-control")]
        assert headers["vary"] == "Accept-Language, Origin"
    _, headers = await answer(environment)
    assert headers["vary"] == "Accept-Language, Origin"
    _, headers = await answer({}, origin=SHOP)
    assert headers["vary"] == "Accept-Language"


async def test_preflight_is_answered_for_named_origins_alone() -> None:
    environment = {"CORS_ORIGINS": SHOP}
    asked = {"access_control_request_method": "PATCH"}
    status, headers = await answer(environment, "OPTIONS", origin=SHOP, **asked)
    assert status == 204
    assert {"PATCH", "PUT", "DELETE"} <= set(headers[f"{CORS}methods"].split(", "))
    assert set(TAKEN) == set(headers[f"{CORS}headers"].split(", "))
    assert headers["vary"] == "Origin"
    for others in (asked | {"origin": LOCAL}, {"origin": SHOP}, asked):
        status, headers = await answer(environment, "OPTIONS", **others)
        assert (status, f"{CORS}methods" in headers) == (200, False)


async def test_any_page_may_call_without_credentials_where_no_one_signs_in() -> None:
    _, headers = await answer({"CORS_ORIGINS": "*"}, origin=SHOP)
    assert headers[f"{CORS}origin"] == "*"
    assert f"{CORS}credentials" not in headers
    with pytest.raises(ConfigurationError, match=r"CORS_ORIGINS=\*"):
        settings_of("order", {"CORS_ORIGINS": "*", "AUTH": "on"})


@pytest.mark.parametrize(
    "origin",
    [
        *("shop.example", "https://", "ftp://shop.example", "https://shop.example/", "null"),
        *("https://Shop.example", "https://*.shop.example", "https://a@b", "https://a:443"),
        *("http://a:80", "http://a:123456", "https://a?b", f"{SHOP};{LOCAL}"),
    ],
)
def test_what_is_no_origin_of_a_browser_is_refused(origin: str) -> None:
    with pytest.raises(ConfigurationError, match=r"CORS_ORIGINS: .* is no origin"):
        settings_of("order", {"CORS_ORIGINS": f"{LOCAL},{origin}"})


def test_other_forms_of_an_origin_are_taken() -> None:
    named = (SHOP, "http://[::1]:3000", "http://10.0.0.7:8443", "https://a.b-c.example")
    assert settings_of("order", {"CORS_ORIGINS": ",".join(named)}).cors_origins == named
    assert settings_of("order", {"CORS_ORIGINS": " "}).cors_origins == ()


async def test_answers_are_not_stored_or_guessed_at_and_pages_are_closed() -> None:
    _, headers = await answer({})
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert "content-security-policy" not in headers
    _, headers = await answer({}, path="/schema/x", kind="text/html; charset=utf-8")
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "cache-control" not in headers


async def test_browsers_stay_with_tls_where_it_is_there() -> None:
    _, headers = await answer({"BEHIND_TLS": "on"})
    assert headers["strict-transport-security"] == "max-age=31536000"
    assert "strict-transport-security" not in (await answer({}))[1]
    assert "Secure" in cookie("x", 600, secure=True).to_header()


@pytest.mark.parametrize("service", PARTICIPANTS)
def test_scripts_may_use_every_header_that_is_documented(service: str) -> None:
    sent: set[str] = set()
    answered: set[str] = set()
    for operation in operations(document_of(service)):
        sent |= operation.headers.keys()
        for response in operation.responses.values():
            answered |= response.get("headers", {}).keys()
    assert sent - {*TAKEN, "Accept-Language"} == set()
    assert answered - {*EXPOSED, *READABLE, *NOT_FOR_SCRIPTS} == set()


# ---------------------------------------------------------------- the cookie


class OneToken:
    """Knows one access token."""

    async def caller(self, token: str) -> Caller:
        return TRUSTED if token == "t.o-k_n" else NOT_SIGNED_IN


async def caller_by_cookie(method: str, sent: str) -> Caller:
    found: list[Any] = []

    async def app(scope: Any, _: Receive, __: Send) -> None:
        found.append(scope["chassis.caller"])

    scope: Any = {"type": "http", "method": method, "headers": [(b"cookie", sent.encode())]}
    authentication = Authentication(app, OneToken(), None)  # type: ignore[arg-type] # its one method
    await authentication(scope, None, None)  # type: ignore[arg-type] # neither is used
    [caller] = found
    assert isinstance(caller, Caller)
    return caller


@pytest.mark.parametrize(
    "others",
    ["", "a=b; ", 'prefs={"theme": "dark, mode"}; ', "x[1]=2; ", "=; ; ", "a b=c; ", 'q="; '],
)
async def test_cookie_is_found_beside_those_of_other_programs(others: str) -> None:
    sent = f"{others}access_token=t.o-k_n"
    assert await caller_by_cookie("GET", sent) is TRUSTED
    assert await caller_by_cookie("GET", f"{sent}; z=1") is TRUSTED
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert await caller_by_cookie(method, sent) is NOT_SIGNED_IN


async def test_cookie_of_a_similar_name_signs_no_one_in() -> None:
    for sent in (
        "access_tokens=t.o-k_n",
        "x=access_token=t.o-k_n",
        "access_token=",
        "access_token",
    ):
        assert await caller_by_cookie("GET", sent) is NOT_SIGNED_IN
