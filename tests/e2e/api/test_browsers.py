"""Pages of another origin, and the cookie, on a stack that asks for sign-in."""

import base64
import hashlib
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from tests.e2e.api.conftest import PAGE
from tests.e2e.api.raw_http import JSON_TYPE, Connection, Wire
from tests.e2e.api.routes import ROUTES, valid
from tests.kit.client import COFFEE, RICH, SERVICES, Response, open_shop, order, wait_until

FROM_PAGE = {"Origin": PAGE}
ELSEWHERE = {"Origin": "https://elsewhere.example"}
ALLOWED = "Access-Control-Allow-Origin"
EVERY_SERVICE = pytest.mark.parametrize("service", SERVICES)


@pytest.fixture
async def signed(signed_stack: Mapping[str, str]) -> AsyncIterator[Wire]:
    async with open_shop(signed_stack) as shop, aiohttp.ClientSession() as http:
        await shop.wait_until_ready()
        yield Wire(shop, http)


async def log_in(wire: Wire) -> Response:
    """As a page does that sends JSON, and keeps the cookie."""
    body = {"email": "customer@shop.test", "password": wire.shop.environment["CUSTOMER_PASSWORD"]}
    found = await wire.send_json("user", "POST", "/api/v1/auth/login", body, **FROM_PAGE)
    assert found.status == 200, found
    return found


def cookie_of(answer: Response) -> dict[str, str]:
    """As a browser sends it back."""
    return {"Cookie": answer.headers["Set-Cookie"].partition(";")[0]}


def is_readable(answer: Response) -> bool:
    """May the page's script read the answer, of a request with its cookie?"""
    return (
        answer.headers.get(ALLOWED) == PAGE
        and answer.headers.get("Access-Control-Allow-Credentials") == "true"
        and "Origin" in ", ".join(answer.headers.getall("Vary"))  # type: ignore[attr-defined] # aiohttp's
    )


# ---------------------------------------------------------------- pages of another origin


async def test_page_reads_answers_and_errors_of_every_kind(signed: Wire) -> None:
    token = (await log_in(signed)).body["accessToken"]
    mine = FROM_PAGE | {"Authorization": f"Bearer {token}"}
    as_json = mine | JSON_TYPE
    unknown = f"/api/v1/orders/{uuid4()}"
    body = b'{"customerId": "%s"}' % RICH.encode()
    calls: list[tuple[str, str, bytes | None, dict[str, str], int]] = [
        ("GET", "/api/v1/orders", None, mine, 200),
        ("GET", "/api/v1/orders", None, FROM_PAGE, 401),
        ("GET", unknown, None, mine, 404),
        ("GET", f"{unknown}/events", None, mine, 404),
        ("GET", "/nothing", None, mine, 404),
        ("PUT", "/api/v1/orders", None, mine, 405),
        ("POST", "/api/v1/orders", body, as_json, 400),  # the fast path refuses it
        ("POST", "/api/v1/orders", b" " * 70_000, as_json, 413),
        ("POST", f"{unknown}/cancel", None, mine, 404),  # a POST without a body
        ("GET", "/health/live", None, mine, 200),
        ("OPTIONS", "/nothing", None, mine, 404),
    ]
    for method, path, sent, headers, status in calls:
        answer = await signed.send("order", method, path, sent, headers)
        assert (answer.status, is_readable(answer)) == (status, True), (method, path, answer)
        refused = await signed.send("order", method, path, sent, headers | ELSEWHERE)
        assert ALLOWED not in refused.headers, (method, path, refused)


async def test_page_places_an_order_on_the_fast_path_and_follows_it(signed: Wire) -> None:
    answer = await log_in(signed)
    mine = FROM_PAGE | {"Authorization": f"Bearer {answer.body['accessToken']}"}
    path, body = "/api/v1/orders", order(RICH, (COFFEE, 1))
    sent = mine | {"idempotency-key": f"{uuid4()}"}
    first = await signed.send_json("order", "POST", path, body, **sent)
    placed = await signed.send_json("order", "POST", path, body, **sent)
    for answered in (first, placed):
        assert (answered.status, is_readable(answered)) == (202, True), answered
        exposed = answered.headers["Access-Control-Expose-Headers"].split(", ")
        assert {"Location", "Idempotency-Replayed", "Retry-After"} <= set(exposed)
        assert answered.headers["X-Content-Type-Options"] == "nosniff"
        assert answered.headers["Cache-Control"] == "no-store"
    assert placed.headers["Idempotency-Replayed"] == "true"
    events = f"{path}/{placed.body['orderId']}/events"
    followed = await signed.send("order", "GET", events, None, FROM_PAGE | cookie_of(answer))
    assert (followed.status, is_readable(followed)) == (200, True), followed
    assert "event: OrderCompleted" in followed.body


async def test_page_reads_that_a_service_can_not_work_now(signed: Wire) -> None:
    """The user service reads no key while the broker is away, and 503 is for the page too."""
    token = (await log_in(signed)).body["accessToken"]
    header, payload, signature = token.split(".")
    unknown = base64.urlsafe_b64encode(b'{"alg":"Ed25519","kid":"unknown"}').decode().rstrip("=")
    headers = FROM_PAGE | {"Authorization": f"Bearer {unknown}.{payload}.{signature}"}
    answers: list[Response] = []

    async def is_not_known() -> bool:
        """A service that has just read the keys asks for none, and answers 401."""
        answers.append(await signed.send("order", "GET", "/api/v1/orders", None, headers))
        return answers[-1].status != 401

    signed.shop.command("stop", "nats")
    try:
        await wait_until(is_not_known, "the service can't read the keys")
    finally:
        signed.shop.command("start", "nats")
    assert (answers[-1].status, is_readable(answers[-1])) == (503, True), answers[-1]
    assert "Retry-After" in answers[-1].headers
    assert header


@EVERY_SERVICE
async def test_page_gets_permission_before_it_sends(signed: Wire, service: str) -> None:
    asked = {"Access-Control-Request-Method": "PATCH"}
    asked["Access-Control-Request-Headers"] = "authorization,content-type,idempotency-key"
    for path in ("/api/v1/orders", "/api/v1/nothing"):
        answer = await signed.send(service, "OPTIONS", path, None, FROM_PAGE | asked)
        assert (answer.status, is_readable(answer)) == (204, True), answer
        assert "PATCH" in answer.headers["Access-Control-Allow-Methods"]
        taken = answer.headers["Access-Control-Allow-Headers"].lower().split(", ")
        assert set(asked["Access-Control-Request-Headers"].split(",")) <= set(taken)
        refused = await signed.send(service, "OPTIONS", path, None, ELSEWHERE | asked)
        assert ALLOWED not in refused.headers


async def test_page_reads_what_the_http_server_refuses(signed: Wire) -> None:
    request = f"GET /api/v1/orders HTTP/1.1\r\nOrigin: {PAGE}\r\nHost: x\r\nNo colon\r\n\r\n"
    async with Connection.open(signed.shop.environment["ORDER_URL"]) as connection:
        await connection.write(request.encode())
        answer = await connection.receive()
    assert (answer.status, answer.headers[ALLOWED]) == (400, PAGE)


# ---------------------------------------------------------------- the cookie


async def test_sign_in_and_refresh_set_the_cookie_and_logout_takes_it_away(signed: Wire) -> None:
    answer = await log_in(signed)
    expected = {"HttpOnly", "Secure", "SameSite=strict", "Path=/api/v1"}
    for _ in range(2):
        token, *attributes = answer.headers["Set-Cookie"].split("; ")
        assert token == f"access_token={answer.body['accessToken']}"
        assert set(attributes) == {*expected, f"Max-Age={answer.body['expiresIn']}"}
        # The refresh token is in the body alone: no request carries it but the one that uses it.
        assert answer.body["refreshToken"] not in str(answer.headers)
        body = {"refreshToken": answer.body["refreshToken"]}
        answer = await signed.send_json("user", "POST", "/api/v1/auth/refresh", body)
    body = {"refreshToken": answer.body["refreshToken"]}
    answer = await signed.send_json("user", "POST", "/api/v1/auth/logout", body)
    assert answer.status == 204
    token, *attributes = answer.headers["Set-Cookie"].split("; ")
    assert token in ("access_token=", 'access_token=""')
    assert {*expected, "Max-Age=0"} == set(attributes)


async def test_cookie_alone_changes_nothing_anywhere(signed: Wire) -> None:
    """So a page of another site has nothing to forge: a browser adds no Authorization by itself."""
    cookie = cookie_of(await log_in(signed))
    wrong: dict[str, Any] = {}
    for route in ROUTES:
        is_public = "/auth/" in route.path or route.name == "user POST /api/v1/users"
        if route.method == "GET" or is_public or not route.path.startswith("/api/"):
            continue
        body = valid(route.body) if route.body else None
        sent = cookie | FROM_PAGE | {"idempotency-key": f"{uuid4()}"}
        answer = await signed.send_json(route.service, route.method, route.address, body, **sent)
        if (answer.status, answer.body.get("error")) != (401, "UNAUTHENTICATED"):
            wrong[route.name] = answer
    assert wrong == {}
    read = await signed.send("payment", "GET", f"/api/v1/wallets/{RICH}", None, cookie)
    assert read.status == 200


# ---------------------------------------------------------------- pages and answers


@EVERY_SERVICE
async def test_page_of_the_document_runs_its_own_scripts_alone(signed: Wire, service: str) -> None:
    page = await signed.send(service, "GET", "/schema")
    policy = dict(
        each.strip().split(" ", 1) for each in page.headers["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in policy["script-src"]
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", page.body, re.DOTALL)
    inline = [hashlib.sha256(each.encode()).digest() for each in scripts if each]
    digests = [base64.b64encode(each) for each in inline]
    assert policy["script-src"] == " ".join(
        ["'self'", *(f"'sha256-{each.decode()}'" for each in digests)]
    )
    assert len(digests) == 1
    assert page.headers["Referrer-Policy"] == "no-referrer"
    for asset in re.findall(r"(?:src|href)=\"(/[^\"]+)\"", page.body):
        loaded = await signed.send(service, "GET", asset)
        assert (loaded.status, loaded.headers["X-Content-Type-Options"]) == (200, "nosniff")
        kind = loaded.headers["Content-Type"].partition(";")[0]
        assert kind in ("text/javascript", "application/javascript", "text/css", "image/png")
    other = await signed.send(service, "GET", "/schema-assets/oauth2-redirect.html")
    assert "default-src 'none'" in other.headers["Content-Security-Policy"]
    assert page.headers["Strict-Transport-Security"] == "max-age=31536000"
