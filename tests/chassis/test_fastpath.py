"""The fast path beside the framework's way: the same requests, the same answers."""

from collections.abc import Iterable
from typing import Annotated, Any, cast

import msgspec
import pytest
from litestar import Litestar, Request, Response, post
from litestar.datastructures import State
from litestar.di import Provide
from litestar.params import HeaderParameter, QueryParameter
from litestar.types import Message, Scope

from infra.errors import NotFound, RetryLater
from infra.fastpath import FastPath
from infra.reading import StrictRequest, refuse_null
from infra.shapes import Body, OptionalKey, View
from infra.web import to_response

MOST_BODY_BYTES = 10_000

Headers = list[tuple[bytes, bytes]]


class Wish(Body):
    item_name: Annotated[str, msgspec.Meta(max_length=300)]
    units: Annotated[int, msgspec.Meta(ge=1)] = 1


class Granted(View):
    item_name: str
    units: int
    key: str | None
    note: str | None
    by: str


async def _grant(
    data: Wish,
    service: str,
    idempotency_key: OptionalKey = None,
    note: Annotated[str | None, HeaderParameter(name="X-Note")] = None,
) -> Response[Granted]:
    if data.item_name == "nothing":
        raise NotFound("there is nothing", details={"item": data.item_name})
    if data.item_name == "everything":
        raise RetryLater("not now")
    if data.item_name == "a crash":
        raise ZeroDivisionError
    granted = Granted(data.item_name, data.units, idempotency_key, note, service)
    return Response(granted, status_code=202, headers={"Location": f"/wishes/{data.units}"})


class Shop:
    """An app with the same route twice, which counts what it reads itself."""

    def __init__(self) -> None:
        self.asked_framework = 0

        async def before(request: Request[Any, Any, State]) -> None:
            self.asked_framework += 1
            refuse_null(request)

        self._app = Litestar(
            [
                post("/fast", status_code=202, middleware=[FastPath])(_grant),
                post("/plain", status_code=202)(_grant),
            ],
            dependencies={"service": Provide(lambda: "Ann", sync_to_thread=False, use_cache=True)},
            exception_handlers={Exception: to_response},
            before_request=before,
            request_class=StrictRequest,
            request_max_body_size=MOST_BODY_BYTES,
            state=State({"service": "Ann"}),
            logging_config=None,
            openapi_config=None,
        )

    async def ask(
        self,
        path: str,
        parts: Iterable[bytes],
        headers: Headers,
        query: bytes = b"",
        *,
        leaves: bool = False,
    ) -> tuple[int, dict[bytes, bytes], bytes]:
        """Status, headers and body of the answer to a request whose body comes in these parts; the
        client `leaves` before the end of it."""
        *before, last = parts
        events = [{"type": "http.request", "body": part, "more_body": True} for part in before]
        events.append({"type": "http.request", "body": last, "more_body": leaves})
        sent: list[Message] = []

        async def receive() -> Any:
            return events.pop(0) if events else {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "server": ("127.0.0.1", 80),
            "client": ("127.0.0.1", 50_000),
            "scheme": "http",
            "method": "POST",
            "root_path": "",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query,
            "headers": headers,
        }
        await self._app(cast("Scope", scope), receive, send)
        start, *bodies = cast("list[Any]", sent)
        body = b"".join(each["body"] for each in bodies)
        return start["status"], dict(start["headers"]), body


JSON: Headers = [(b"host", b"shop"), (b"content-type", b"application/json")]
WISH = b'{"itemName": "cake", "units": 2}'


def _with(*more: tuple[bytes, bytes]) -> Headers:
    return [*JSON, *more]


USUAL: dict[str, tuple[list[bytes], Headers]] = {
    "a body alone": ([WISH], JSON),
    "with a key": ([WISH], _with((b"idempotency-key", b"k-1"))),
    "with all headers": ([WISH], _with((b"idempotency-key", b"k-1"), (b"x-note", b"h\xe9 llo"))),
    "with headers that nobody asked for": ([WISH], _with((b"x-other", b"1"), (b"x-other", b"2"))),
    "a name that is not ASCII": (['{"itemName": "케이크"}'.encode()], JSON),
    "refused by a rule": ([b'{"itemName": "nothing"}'], JSON),
    "refused for now": ([b'{"itemName": "everything"}'], JSON),
    "a bug of ours": ([b'{"itemName": "a crash"}'], JSON),
}
UNUSUAL: dict[str, tuple[list[bytes], Headers]] = {
    "in two parts": ([WISH[:9], WISH[9:]], JSON),
    "no content type": ([WISH], JSON[:1]),
    "with a charset": ([WISH], [(b"content-type", b"application/json; charset=utf-8")]),
    "of a kind of JSON": ([WISH], [(b"content-type", b"application/merge-patch+json")]),
    "not called JSON": ([WISH], [(b"content-type", b"text/plain")]),
    "a header twice": ([WISH], _with((b"x-note", b"1"), (b"x-note", b"2"))),
    "a key that is too long": ([WISH], _with((b"idempotency-key", b"k" * 256))),
    "a longer header that may be": ([WISH], _with((b"x-note", b"n" * 1_000))),
    "no body": ([b""], JSON),
    "not JSON": ([b"{"], JSON),
    "an unknown field": ([b'{"itemName": "cake", "unit": 2}'], JSON),
    "too few units": ([b'{"itemName": "cake", "units": 0}'], JSON),
    "units in quotes": ([b'{"itemName": "cake", "units": "2"}'], JSON),
    "not UTF-8": ([b'{"itemName": "\xff"}'], JSON),
    "nested without end": ([b"[" * 9_000], JSON),
    "too large": ([b'{"itemName": "' + b"x" * MOST_BODY_BYTES + b'"}'], JSON),
}


@pytest.mark.parametrize("what", [*USUAL, *UNUSUAL])
async def test_the_answer_is_the_frameworks(what: str) -> None:
    shop = Shop()
    parts, headers = (USUAL | UNUSUAL)[what]
    fast = await shop.ask("/fast", parts, headers)
    asked_framework = shop.asked_framework
    plain = await shop.ask("/plain", parts, headers)
    assert fast == plain
    assert asked_framework == (what in UNUSUAL)


async def test_a_query_is_looked_at_by_the_framework() -> None:
    shop = Shop()
    asked = [await shop.ask(path, [WISH], JSON, b"x=null") for path in ("/fast", "/plain")]
    assert asked[0] == asked[1]
    assert asked[0][0] == 400


async def test_who_leaves_in_the_middle_of_a_body_is_the_frameworks_matter() -> None:
    shop = Shop()
    fast, plain = [
        await shop.ask(path, [WISH[:9]], JSON, leaves=True) for path in ("/fast", "/plain")
    ]
    assert fast == plain
    assert shop.asked_framework == 2


async def test_a_route_that_takes_more_answers_nobody() -> None:
    @post("/more", middleware=[FastPath])
    async def more(
        data: Wish, service: str, page: Annotated[int | None, QueryParameter()] = None
    ) -> Response[Granted]:
        return Response(Granted(data.item_name, page or 0, None, None, service))

    shop = Shop()
    shop._app.register(more)
    status, _, _ = await shop.ask("/more", [WISH], JSON)
    assert status == 500
