"""The habits of clients that others wrote: curl, a browser at another site, Java's HttpClient.

Each row of a table is sent to every service.
"""

import asyncio
import gzip
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pytest

from tests.e2e.api.raw_http import JSON_TYPE, Connection, Wire, complaint, refused
from tests.e2e.api.routes import UUID_EXAMPLE
from tests.kit.client import COFFEE, SERVICES, Json, Response, Shop, order

curl_only = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
EVERY_SERVICE = pytest.mark.parametrize("service", SERVICES)


class Call(NamedTuple):
    """A POST of a service, and the status of its answer. `reads`: it takes a body."""

    path: str
    body: Json
    status: int
    reads: bool = True


def call_of(service: str) -> Call:
    """Valid, and new each time."""
    cake = {"name": "Cake", "price": 3}
    coupon = {"name": "c", "discountType": "FIXED", "discountValue": 1, "quantity": 1}
    calls = {
        "order": Call("/api/v1/orders", order(str(uuid4()), (COFFEE, 1)), 202),
        "product": Call("/api/v1/products", cake, 201),
        "payment": Call("/api/v1/wallets", {"customerId": str(uuid4())}, 201),
        "coupon": Call("/api/v1/coupons", coupon, 201),
        "dataplatform": Call("/api/v1/ops/seed", {}, 204, reads=False),
        "user": Call("/api/v1/auth/logout", {"refreshToken": f"{uuid4()}.secret"}, 204),
    }
    return calls[service]


# ---------------------------------------------------------------- curl

USUAL_HABITS = {
    "-d": ("-d", "@{body}"),
    "--json": ("--json", "@{body}"),
    "HTTP/1.0": ("-0", "--json", "@{body}"),
    "HTTP/1.0, a form": ("-0", "-d", "@{body}"),
    "--http2": ("--http2", "--json", "@{body}"),
    "--http2, a form": ("--http2", "-d", "@{body}"),
    "--http2, chunked": ("--http2", "-H", "Transfer-Encoding: chunked", "--json", "@{body}"),
    "chunked": ("-H", "Transfer-Encoding: chunked", "--json", "@{body}"),
    "-T": ("-X", "POST", "-T", "{body}"),
    "-T, chunked": ("-X", "POST", "-H", "Transfer-Encoding: chunked", "-T", "{body}"),
    "Expect": ("-H", "Expect: 100-continue", "--json", "@{body}"),
    "Expect, --http2": ("--http2", "-H", "Expect: 100-continue", "--json", "@{body}"),
    "a charset": ("-H", "Content-Type: application/json; charset=utf-8", "-d", "@{body}"),
    "byte order mark": ("--json", "@{marked}"),
    "--compressed": ("--compressed", "--json", "@{body}"),
}
"""Arguments with which curl sends a body, in ways that all mean the same."""


async def curl(shop: Shop, service: str, path: str, *arguments: str) -> Response:
    """What curl gets: the last status, with the headers and the body of that answer."""
    url = f"{shop.environment[f'{service.upper()}_URL']}{path}"
    # Of 100 Continue and the answer, -i shows both heads.
    command = ["curl", "-s", "-S", "-i", "--max-time", "20", *arguments, url]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, f"{command}: {errors.decode()}"
    while b" 100 " in output.partition(b"\r\n")[0]:
        output = output.partition(b"\r\n\r\n")[2]
    head, _, body = output.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    named = {name.title(): value for name, value in headers.items()}
    is_json = named.get("Content-Type") == "application/json" and body
    return Response(int(first.split()[1]), named, json.loads(body) if is_json else body.decode())


@curl_only
@EVERY_SERVICE
async def test_every_habit_of_curl_is_answered_alike(
    shop: Shop, service: str, tmp_path: Path
) -> None:
    wrong = {}
    for habit, arguments in USUAL_HABITS.items():
        call = call_of(service)
        names = {"body": tmp_path / "body.json", "marked": tmp_path / "marked.json"}
        names["body"].write_bytes(json.dumps(call.body).encode())
        names["marked"].write_bytes(b"\xef\xbb\xbf" + names["body"].read_bytes())
        given = [each.format(**names) for each in arguments]
        answer = await curl(shop, service, call.path, *given)
        if answer.status != call.status:
            wrong[habit] = answer
    assert wrong == {}


@curl_only
@EVERY_SERVICE
async def test_upload_by_put_is_refused_in_the_error_format(
    shop: Shop, service: str, tmp_path: Path
) -> None:
    """`curl -T` alone is a PUT, which no route with this body takes."""
    (tmp_path / "body.json").write_text("{}")
    answer = await curl(shop, service, call_of(service).path, "-T", str(tmp_path / "body.json"))
    refused(answer, 405, "METHOD_NOT_ALLOWED")


@curl_only
@EVERY_SERVICE
async def test_head_by_curl_ends_with_the_headers(shop: Shop, service: str) -> None:
    for arguments in ((), ("-0",), ("--http2",)):
        answer = await curl(shop, service, "/health/live", "-I", *arguments)
        assert (answer.status, answer.body) == (200, "")
        assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("service", [each for each in SERVICES if call_of(each).reads])
async def test_compressed_body_is_refused(wire: Wire, service: str) -> None:
    call = call_of(service)
    body = json.dumps(call.body).encode()
    for encoding, sent in (("gzip", gzip.compress(body)), ("GZIP", body), ("br", body)):
        headers = JSON_TYPE | {"Content-Encoding": encoding}
        answer = await wire.send(service, "POST", call.path, sent, headers)
        refused(answer, 415, "UNSUPPORTED_MEDIA_TYPE")
        assert "Content-Encoding" in answer.body["message"]


# ---------------------------------------------------------------- a browser

FORM = "application/x-www-form-urlencoded"
FOREIGN: dict[str, dict[str, str]] = {
    "a form": {"Content-Type": FORM, "Origin": "https://elsewhere.example"},
    "a form of a file": {"Content-Type": FORM, "Origin": "null"},
    "a form, as the browser marks it": {"Content-Type": FORM, "Sec-Fetch-Site": "cross-site"},
    "a form from another port": {"Content-Type": FORM, "Sec-Fetch-Site": "same-site"},
    "a form in upper case": {"Content-Type": FORM.upper(), "Origin": "https://elsewhere.example"},
    "a text": {"Content-Type": "text/plain", "Origin": "https://elsewhere.example"},
    "no type": {"Content-Type": "", "Origin": "https://elsewhere.example"},
    "no type, as the browser marks it": {"Content-Type": "", "Sec-Fetch-Site": "cross-site"},
    "a malformed origin": {"Content-Type": FORM, "Origin": "http://[x"},
}
"""What a page of another site makes a browser send without asking first."""


@EVERY_SERVICE
async def test_page_of_another_site_may_not_post(wire: Wire, service: str) -> None:
    wrong = {}
    for what, headers in FOREIGN.items():
        call = call_of(service)
        body = json.dumps(call.body).encode()
        answer = await wire.send(service, "POST", call.path, body, headers)
        if problem := complaint(answer, 415, "UNSUPPORTED_MEDIA_TYPE"):
            wrong[what] = problem
    assert wrong == {}


@EVERY_SERVICE
async def test_page_of_another_site_gets_no_permission(wire: Wire, service: str) -> None:
    asked = {
        "Origin": "https://elsewhere.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    answer = await wire.send(service, "OPTIONS", call_of(service).path, None, asked)
    assert answer.status == 204
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]


@EVERY_SERVICE
async def test_page_of_the_service_itself_may_post(wire: Wire, service: str) -> None:
    """The page of the OpenAPI document does: JSON, or no body, and an Origin."""
    own = {"Origin": wire.shop.environment[f"{service.upper()}_URL"]}
    for headers in (JSON_TYPE | own, JSON_TYPE | own | {"Sec-Fetch-Site": "same-origin"}):
        call = call_of(service)
        body = json.dumps(call.body).encode()
        answer = await wire.send(service, "POST", call.path, body, headers)
        assert answer.status == call.status, answer
    path = "/api/v1/ops/seed"
    assert (await wire.send(service, "POST", path, None, own)).status == 204


# ---------------------------------------------------------------- Java's HttpClient

OFFER = {
    "Connection": "Upgrade, HTTP2-Settings",
    "Upgrade": "h2c",
    "HTTP2-Settings": "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
}


@asynccontextmanager
async def connected(shop: Shop, service: str) -> AsyncIterator[Connection]:
    async with Connection.open(shop.environment[f"{service.upper()}_URL"]) as connection:
        yield connection


async def post(connection: Connection, call: Call, headers: dict[str, str]) -> Response:
    await connection.send("POST", call.path, json.dumps(call.body).encode(), JSON_TYPE | headers)
    return await connection.receive()


@EVERY_SERVICE
async def test_offer_of_an_upgrade_is_ignored(shop: Shop, service: str) -> None:
    """Each time, on the same connection, however the request is cut into segments."""
    async with connected(shop, service) as connection:
        for offer in (OFFER, {}, OFFER, {"Connection": "upgrade", "Upgrade": "websocket"}):
            call = call_of(service)
            assert (await post(connection, call, offer)).status == call.status
        for size in (1, 7, 200):
            call = call_of(service)
            body = json.dumps(call.body).encode()
            raw = connection.request("POST", call.path, body, JSON_TYPE | OFFER)
            for start in range(0, len(raw), size):
                await connection.write(raw[start : start + size])
            assert (await connection.receive()).status == call.status


@EVERY_SERVICE
async def test_pipelined_requests_may_each_offer_an_upgrade(shop: Shop, service: str) -> None:
    calls = [call_of(service) for _ in range(20)]
    async with connected(shop, service) as connection:
        await connection.write(
            b"".join(
                connection.request("POST", call.path, json.dumps(call.body).encode(), headers)
                for call in calls
                for headers in (JSON_TYPE | OFFER, JSON_TYPE)
            )
        )
        for call in calls:
            for _ in range(2):
                answer = await connection.receive()
                assert answer.status in (call.status, 200), answer  # 200: the same wallet again


async def test_pooled_connections_are_used_again_after_seconds(shop: Shop) -> None:
    """Many servers close an idle one after 5 s, just when a pool sends its next request on it."""

    async def use_twice(service: str) -> None:
        async with connected(shop, service) as connection:
            for idle_seconds in (6, 0):
                call = call_of(service)
                assert (await post(connection, call, OFFER)).status == call.status
                assert not await connection.is_closed_within(idle_seconds)

    await asyncio.gather(*map(use_twice, SERVICES))


# ---------------------------------------------------------------- what the HTTP server refuses

MALFORMED = {
    "a URL with UTF-8": "GET /api/v1/products?query=커피 HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
    "a path with UTF-8": "GET /커피 HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
    "a space in the URL": b"GET /api/v1/a b HTTP/1.1\r\nHost: x\r\n\r\n",
    "a control character in the URL": b"GET /a\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a proxy's CONNECT": b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    "CONNECT to a path": b"CONNECT /health/live HTTP/1.1\r\nHost: x\r\n\r\n",
    "no request line": b"hello\r\n\r\n",
    "an unknown method": b"NONSENSE / HTTP/1.1\r\nHost: x\r\n\r\n",
    "another version": b"GET / HTTP/7.7\r\nHost: x\r\n\r\n",
    "HTTP/2 at once": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64,
    "a header without a colon": b"GET / HTTP/1.1\r\nHost\r\n\r\n",
    "a space in a header's name": b"GET / HTTP/1.1\r\nHo st: x\r\n\r\n",
    "NUL in a header": b"GET / HTTP/1.1\r\nHost: x\x00y\r\n\r\n",
    "a length that is none": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
}


@EVERY_SERVICE
async def test_malformed_request_gets_the_error_format(shop: Shop, service: str) -> None:
    wrong = {}
    for what, raw in MALFORMED.items():
        async with connected(shop, service) as connection:
            await connection.write(raw)
            answer = await connection.receive()
            if problem := complaint(answer, 400, "VALIDATION_ERROR"):
                wrong[what] = problem
            assert await connection.is_closed_within(5), what
    assert wrong == {}


async def test_raw_utf_8_is_answered_with_how_to_send_it(shop: Shop) -> None:
    async with connected(shop, "product") as connection:
        await connection.write(MALFORMED["a URL with UTF-8"])
        assert "percent-encode" in (await connection.receive()).body["message"]


# ---------------------------------------------------------------- HEAD

HEAD_PATHS = {
    "order": ("/api/v1/orders?size=1", f"/api/v1/orders/{UUID_EXAMPLE}", "/api/v1/orders?a=b"),
    "product": ("/api/v1/products", f"/api/v1/products/{COFFEE}/stock"),
    "coupon": (f"/api/v1/coupons/{UUID_EXAMPLE}", "/api/v1/issued-coupons"),
    "payment": (f"/api/v1/payments?orderId={UUID_EXAMPLE}", f"/api/v1/wallets/{UUID_EXAMPLE}"),
    "dataplatform": ("/api/v1/deliveries?size=1",),
    "user": (f"/api/v1/users/{UUID_EXAMPLE}",),
}
EVERYWHERE = ("/health/live", "/schema", "/schema/openapi.json", "/nothing", "/api/v1/ops/seed")


@EVERY_SERVICE
async def test_head_has_the_headers_of_get(wire: Wire, service: str) -> None:
    def comparable(answer: Response) -> dict[str, Any]:
        named = {name.title(): value for name, value in answer.headers.items()}
        return {name: named[name] for name in named.keys() - {"Date", "X-Cache"}}

    for path in (*HEAD_PATHS[service], *EVERYWHERE):
        read = await wire.send(service, "GET", path)
        answer = await wire.send(service, "HEAD", path)
        assert answer.body == ""
        assert (answer.status, comparable(answer)) == (read.status, comparable(read)), path


async def test_head_of_an_endless_stream_ends(shop: Shop) -> None:
    """The order waits for stock: its events go on. The connection is used again at once."""
    product = await shop.create_product(price=3, stock=0)
    waiting = await shop.place(order(str(uuid4()), (product, 1)) | {"onShortage": "WAIT"})
    async with connected(shop, "order") as connection:
        path = f"/api/v1/orders/{waiting}/events"
        for _ in range(3):
            await connection.send("HEAD", path)
            answer = await connection.receive(has_body=False)
            assert answer.status == 200
            assert answer.headers["Content-Type"].startswith("text/event-stream")
        await connection.send("GET", f"/api/v1/orders/{waiting}")
        assert (await connection.receive()).body["orderId"] == waiting
    await shop.add_stock(product, 1)
    await shop.wait_until_ended(waiting)
