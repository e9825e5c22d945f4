"""Requests with raw bytes, and checks that hold for every refusal."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from tests.kit.client import SERVICES, Response, Shop, wait_until

JSON_TYPE = {"Content-Type": "application/json"}

# Words about the code of the service. A refusal is about the request.
_INTERNALS = (
    *("Traceback", 'File "', "<class ", "object at 0x", "MultiDict", "msgspec", "litestar"),
    *("Expected `", "`int`", "`str`", "regex", "enum value"),
)


class Wire:
    """Requests sent exactly as given: path, headers and body."""

    def __init__(self, shop: Shop, http: aiohttp.ClientSession) -> None:
        self.shop = shop
        self._http = http

    async def send(
        self,
        service: str,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        url = URL(f"{self.shop.environment[f'{service.upper()}_URL']}{path}", encoded=True)
        async with self._http.request(
            method, url, data=body, headers=headers, allow_redirects=False
        ) as answer:
            raw = await answer.read()
            is_json = answer.content_type == "application/json" and raw
            content = json.loads(raw) if is_json else raw.decode(errors="replace")
            return Response(answer.status, answer.headers.copy(), content)

    async def send_json(
        self, service: str, method: str, path: str, body: Any, **headers: str
    ) -> Response:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.send(service, method, path, json.dumps(body).encode(), JSON_TYPE | sent)

    async def openapi(self, service: str) -> Any:
        """The service's OpenAPI document."""
        return json.loads((await self.send(service, "GET", "/schema/openapi.json")).body)


class Connection:
    """A connection with one request after the other, as bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str) -> AsyncIterator["Connection"]:
        parts = URL(url)
        reader, writer = await asyncio.open_connection(parts.host, parts.port)
        try:
            yield cls(reader, writer)
        finally:
            writer.close()

    @staticmethod
    def request(
        method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> bytes:
        fields = {"Host": "x", "Content-Length": str(len(body))} | dict(headers or {})
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {fields[name]}" for name in fields)]
        return "\r\n".join((*lines, "", "")).encode() + body

    async def send(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> None:
        await self.write(self.request(method, path, body, headers))

    async def write(self, raw: bytes) -> None:
        self._writer.write(raw)
        await self._writer.drain()

    async def receive(self, *, has_body: bool = True) -> Response:
        async with asyncio.timeout(20):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            headers = {
                name.title(): value for name, value in (each.split(": ", 1) for each in lines)
            }
            length = int(headers.get("Content-Length", 0)) if has_body else 0
            body = await self._reader.readexactly(length)
        is_json = headers.get("Content-Type") == "application/json" and body
        content = json.loads(body) if is_json else body.decode()
        return Response(int(first.split()[1]), headers, content)

    async def starts(self) -> None:
        """Read the head of an answer, and the first byte of its body."""
        async with asyncio.timeout(20):
            await self._reader.readuntil(b"\r\n\r\n")
            await self._reader.readexactly(1)

    async def is_closed_within(self, seconds: float) -> bool:
        """Whether the server closes it, and sends nothing before."""
        try:
            async with asyncio.timeout(seconds):
                assert await self._reader.read(1) == b""
        except TimeoutError:
            return False
        except ConnectionResetError:  # closed before it had read all
            return True
        return True


def complaint(answer: Response, status: int | None = None, code: str | None = None) -> str:
    """What is wrong with a refusal; empty when nothing is.

    Without a status, any 4xx is right. A text, so that a test can send a hundred invalid requests
    and then name every wrong answer.
    """
    wrong = []
    if answer.status != status and (status or not 400 <= answer.status < 500):
        wrong.append(f"status {answer.status} instead of {status or '4xx'}")
    if answer.headers.get("Content-Type", "").partition(";")[0] != "application/json":
        return f"content type {answer.headers.get('Content-Type')}: {str(answer.body)[:100]}"
    if not isinstance(answer.body, dict) or set(answer.body) != {"error", "message", "details"}:
        return f"not the error format: {answer.status} {str(answer.body)[:200]}"
    if code is not None and answer.body["error"] != code:
        wrong.append(f"code {answer.body['error']} instead of {code}")
    if not is_code(answer.body["error"]):
        wrong.append(f"{answer.body['error']!r} is no code")
    if not isinstance(answer.body["details"], dict | None):
        wrong.append("details is neither null nor an object")
    if found := [word for word in _INTERNALS if word in json.dumps(answer.body)]:
        wrong.append(f"names internals: {found}")
    if len(str(answer.body["message"]).split()) < 3:
        wrong.append(f"no sentence: {answer.body['message']!r}")
    return "; ".join(wrong)


def is_code(text: object) -> bool:
    return isinstance(text, str) and text.isascii() and text == text.upper() and text.isidentifier()


def refused(answer: Response, status: int, code: str) -> None:
    """Assert that this is an error with this status and code, in the error format."""
    assert not complaint(answer, status, code), f"{complaint(answer, status, code)} in {answer}"


@asynccontextmanager
async def nothing_stored(shop: Shop) -> AsyncIterator[None]:
    """Assert that the block changes no row of any service."""
    before = await stored_at_rest(shop)
    yield
    found = new_rows(before, await stored_at_rest(shop))
    assert found == {}, f"stored: {found}"


async def stored_at_rest(shop: Shop) -> dict[str, set[str]]:
    """The stored rows, as soon as all orders and all price events are handled."""

    async def prices_are_projected() -> bool:
        async with shop.nats() as client:
            info = await client.jetstream().consumer_info("CATALOG", "order")
        return not (info.num_pending or info.num_ack_pending)

    await shop.wait_until_idle()
    await wait_until(prices_are_projected, "the order service knows all prices")
    return stored(shop)


def new_rows(before: Mapping[str, set[str]], after: Mapping[str, set[str]]) -> dict[str, list[str]]:
    """Rows that are new, changed or deleted, two of each table."""
    return {
        table: sorted(after[table] ^ rows)[:2]
        for table, rows in before.items()
        if after[table] != rows
    }


def stored(shop: Shop) -> dict[str, set[str]]:
    """All rows of all services, by service and table. The audit log has refused requests, too."""
    found: dict[str, set[str]] = {}
    for service in SERVICES:
        path = Path(shop.environment["STATE_DIR"]) / "db" / f"{service}.db"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            tables = database.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'audit_log'"
            )
            for (table,) in tables.fetchall():
                rows = database.execute(f'SELECT * FROM "{table}"')  # noqa: S608 - its own name
                found[f"{service}.{table}"] = {repr(row) for row in rows}
    return found


def assert_utc(text: str) -> datetime:
    """An RFC 3339 time in UTC, with Z, of about now."""
    assert text.endswith("Z"), text
    time = datetime.fromisoformat(text)
    assert abs(datetime.now(UTC) - time) < timedelta(minutes=10), text
    return time
