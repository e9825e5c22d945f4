"""The fast path beside the framework's way: the same requests, the same answers."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, cast

import msgspec
import pytest
from litestar import Litestar, Request, Response, post, put
from litestar.datastructures import State
from litestar.di import Provide
from litestar.params import HeaderParameter, QueryParameter
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from chassis.web.app import to_response
from chassis.web.fast_path import FAST_PATH, FastPath
from chassis.web.reading import StrictRequest, refuse_null
from chassis.web.schemas import Body, OptionalKey, View
from order.app import create_app
from saga.errors import NotFound, RetryLater
from tests.kit.settings import settings_of

MAX_BODY_BYTES = 10_000

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
    if data.item_name == "the usual":
        return Response(granted)
    return Response(granted, status_code=202, headers={"Location": f"/wishes/{data.units}"})


class Shop:
    """An app with the same route twice, and what it has seen: its own reading of requests, and what
    passed the middleware of all routes and of each, with the route's path."""

    def __init__(self) -> None:
        self.asked_framework = 0
        self.passed: list[tuple[str, str]] = []

        async def before(request: Request[Any, Any, State]) -> None:
            self.asked_framework += 1
            refuse_null(request)

        def inner(app: ASGIApp) -> ASGIApp:
            return self._noting("inner", app)

        def outer(app: ASGIApp) -> ASGIApp:
            return self._noting("outer", app)

        app = Litestar(
            [
                post("/fast", status_code=202, middleware=[inner], opt=FAST_PATH)(_grant),
                post("/plain", status_code=202, middleware=[inner])(_grant),
            ],
            middleware=[outer],
            dependencies={"service": Provide(lambda: "Ann", sync_to_thread=False, use_cache=True)},
            exception_handlers={Exception: to_response},
            before_request=before,
            request_class=StrictRequest,
            request_max_body_size=MAX_BODY_BYTES,
            state=State({"service": "Ann"}),
            logging_config=None,
            openapi_config=None,
        )
        self._app = FastPath(app)

    def _noting(self, where: str, app: ASGIApp) -> ASGIApp:
        async def noting(scope: Scope, receive: Receive, send: Send) -> None:
            service = scope["litestar_app"].state["service"]
            self.passed.append((where, f"{scope['path_template']} of {service}"))
            await app(scope, receive, send)

        return noting

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
    "answered with the route's own status": ([b'{"itemName": "the usual"}'], JSON),
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
    "too large": ([b'{"itemName": "' + b"x" * MAX_BODY_BYTES + b'"}'], JSON),
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
    assert shop.passed == [
        (where, f"{path} of Ann") for path in ("/fast", "/plain") for where in ("outer", "inner")
    ]


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


async def test_another_spelling_of_the_path_is_the_frameworks_matter() -> None:
    shop = Shop()
    fast = await shop.ask("/fast/", [WISH], JSON)
    assert fast == await shop.ask("/fast", [WISH], JSON)
    assert shop.asked_framework == 1
    assert shop.passed[:2] == shop.passed[2:]


def test_a_route_that_takes_more_is_refused() -> None:
    @post("/more", opt=FAST_PATH)
    async def more(
        data: Wish, service: str, page: Annotated[int | None, QueryParameter()] = None
    ) -> Response[Granted]:
        return Response(Granted(data.item_name, page or 0, None, None, service))

    app = Litestar([more], openapi_config=None)
    with pytest.raises(TypeError, match="can't read page"):
        FastPath(app)


def test_a_route_without_a_body_is_refused() -> None:
    @put("/nothing", opt=FAST_PATH)
    async def nothing(service: str) -> Response[None]:
        return Response(None, headers={"By": service})

    with pytest.raises(TypeError, match="routes that take a body"):
        FastPath(Litestar([nothing], openapi_config=None))


def test_orders_are_placed_by_it(tmp_path: Path) -> None:
    environment = {"STATE_DIR": str(tmp_path), "NATS_URL": "nats://127.0.0.1:1"}
    app = create_app(settings_of("order", environment))
    assert [*FastPath(app)._routes] == [("POST", "/api/v1/orders")]
