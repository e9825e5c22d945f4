"""The fast path and the framework's way: the same requests get the same answers."""

import gzip
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, cast

import msgspec
import pytest
from litestar import Litestar, Request, Response, post, put
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.params import HeaderParameter, JSONBody, QueryParameter
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from chassis.web.access import (
    NOT_SIGNED_IN,
    PUBLIC,
    SCOPE,
    TRUSTED,
    Caller,
    CurrentCaller,
    caller_of,
)
from chassis.web.errors import to_response
from chassis.web.fast_path import FAST_PATH, FastPath
from chassis.web.reading import StrictRequest, refuse_query
from chassis.web.schemas import Body, OptionalKey, View
from order.app import create_app
from product.routes import SHOPKEEPERS
from saga.errors import NotFound, RetryLater, SagaError, Unauthorized
from tests.kit.client import ROOT
from tests.kit.settings import settings_of

MAX_BODY_BYTES = 10_000


def _caller(scope: Scope) -> Caller:
    return caller_of(scope)


INJECTED = {
    "service": Provide(lambda: "Ann", sync_to_thread=False, use_cache=True),
    "caller": Provide(_caller, sync_to_thread=False),
}

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
    user: str | None


async def _grant(
    data: JSONBody[Wish],
    service: NamedDependency[str],
    caller: CurrentCaller,
    idempotency_key: OptionalKey = None,
    note: Annotated[str | None, HeaderParameter(name="X-Note")] = None,
) -> Response[Granted]:
    if data.item_name == "nothing":
        raise NotFound("there is nothing", details={"item": data.item_name})
    if data.item_name == "everything":
        raise RetryLater("not now")
    if data.item_name == "a crash":
        raise ZeroDivisionError
    granted = Granted(data.item_name, data.units, idempotency_key, note, service, caller.user_id)
    if data.item_name == "the usual":
        return Response(granted)
    return Response(granted, status_code=202, headers={"Location": f"/wishes/{data.units}"})


class TwoRoutes:
    """An application with the same route twice, marked and not, that records requests.

    `asked_framework` counts those that took the framework's way, `passed` lists the middleware that
    each passed, with the route's path.
    """

    def __init__(self, caller: Caller | SagaError = TRUSTED) -> None:
        self._caller = caller
        self.asked_framework = 0
        self.passed: list[tuple[str, str]] = []

        async def before(request: Request[Any, Any, State]) -> None:
            self.asked_framework += 1
            refuse_query(request)

        def inner(app: ASGIApp) -> ASGIApp:
            return self._recording("inner", app)

        def outer(app: ASGIApp) -> ASGIApp:
            return self._recording("outer", app)

        route: Any = {"status_code": 202, "guards": [SHOPKEEPERS], "middleware": [inner]}
        app = Litestar(
            [
                post("/fast", opt=FAST_PATH, **route)(_grant),
                post("/plain", **route)(_grant),
            ],
            middleware=[outer],
            dependencies=INJECTED,
            exception_handlers={Exception: to_response},
            before_request=before,
            request_class=StrictRequest,
            request_max_body_size=MAX_BODY_BYTES,
            state=State({"service": "Ann"}),
            logging_config=None,
            openapi_config=None,
        )
        self._app = FastPath(app)

    def _recording(self, where: str, app: ASGIApp) -> ASGIApp:
        async def recording(scope: Scope, receive: Receive, send: Send) -> None:
            service = scope["litestar_app"].state["service"]
            self.passed.append((where, f"{scope['path_template']} of {service}"))
            found: Any = scope
            found[SCOPE] = self._caller
            await app(scope, receive, send)

        return recording

    async def ask(
        self,
        path: str,
        parts: Iterable[bytes],
        headers: Headers,
        query: bytes = b"",
        *,
        leaves: bool = False,
    ) -> tuple[int, dict[bytes, bytes], bytes]:
        """Status, headers and body of the answer to a request with a body in these parts.

        With `leaves` the client disconnects before the end of the body.
        """
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
    "with other headers": ([WISH], _with((b"x-other", b"1"), (b"x-other", b"2"))),
    "a name that is not ASCII": (['{"itemName": "케이크"}'.encode()], JSON),
    "answered with the route's own status": ([b'{"itemName": "the usual"}'], JSON),
    "refused by a rule": ([b'{"itemName": "nothing"}'], JSON),
    "rejected for now": ([b'{"itemName": "everything"}'], JSON),
    "a crash": ([b'{"itemName": "a crash"}'], JSON),
}
UNUSUAL: dict[str, tuple[list[bytes], Headers]] = {
    "in two parts": ([WISH[:9], WISH[9:]], JSON),
    "no content type": ([WISH], JSON[:1]),
    "with a charset": ([WISH], [(b"content-type", b"application/json; charset=utf-8")]),
    "of a kind of JSON": ([WISH], [(b"content-type", b"application/merge-patch+json")]),
    "of another content type": ([WISH], [(b"content-type", b"text/plain")]),
    "a header twice": ([WISH], _with((b"x-note", b"1"), (b"x-note", b"2"))),
    "a key that is too long": ([WISH], _with((b"idempotency-key", b"k" * 256))),
    "a long header without a limit": ([WISH], _with((b"x-note", b"n" * 1_000))),
    "no body": ([b""], JSON),
    "not JSON": ([b"{"], JSON),
    "an unknown field": ([b'{"itemName": "cake", "unit": 2}'], JSON),
    "too few units": ([b'{"itemName": "cake", "units": 0}'], JSON),
    "units in quotes": ([b'{"itemName": "cake", "units": "2"}'], JSON),
    "not UTF-8": ([b'{"itemName": "\xff"}'], JSON),
    "with a byte order mark": ([b"\xef\xbb\xbf" + WISH], JSON),
    "compressed": ([gzip.compress(WISH)], _with((b"content-encoding", b"gzip"))),
    "called compressed": ([WISH], _with((b"content-encoding", b"gzip"))),
    "called not compressed": ([WISH], _with((b"content-encoding", b"identity"))),
    "nested too deeply": ([b"[" * 9_000], JSON),
    "too large": ([b'{"itemName": "' + b"x" * MAX_BODY_BYTES + b'"}'], JSON),
}


@pytest.mark.parametrize("what", [*USUAL, *UNUSUAL])
async def test_fast_path_answers_as_the_framework_does(what: str) -> None:
    app = TwoRoutes()
    parts, headers = (USUAL | UNUSUAL)[what]
    fast = await app.ask("/fast", parts, headers)
    asked_framework = app.asked_framework
    plain = await app.ask("/plain", parts, headers)
    assert fast == plain
    assert asked_framework == (what in UNUSUAL)
    assert app.passed == [
        (where, f"{path} of Ann") for path in ("/fast", "/plain") for where in ("outer", "inner")
    ]


@pytest.mark.parametrize(
    ("caller", "status"),
    [
        (NOT_SIGNED_IN, 401),
        (Unauthorized("it is forged", code="TOKEN_INVALID"), 401),
        (Caller("Kim", frozenset({"customer"})), 403),
        (Caller("Lee", frozenset({"shopkeeper"})), 202),
    ],
)
async def test_both_ways_ask_who_calls(caller: Caller | SagaError, status: int) -> None:
    app = TwoRoutes(caller)
    asked = [await app.ask(path, [WISH], JSON) for path in ("/fast", "/plain")]
    assert asked[0] == asked[1]
    assert asked[0][0] == status
    assert (b'"user":"Lee"' in asked[0][2]) == (status == 202)
    assert app.asked_framework == (status == 202)


async def test_query_takes_the_frameworks_way() -> None:
    app = TwoRoutes()
    asked = [await app.ask(path, [WISH], JSON, b"x=null") for path in ("/fast", "/plain")]
    assert asked[0] == asked[1]
    assert asked[0][0] == 400


async def test_disconnect_within_a_body_takes_the_frameworks_way() -> None:
    app = TwoRoutes()
    fast, plain = [
        await app.ask(path, [WISH[:9]], JSON, leaves=True) for path in ("/fast", "/plain")
    ]
    assert fast == plain
    assert app.asked_framework == 2


async def test_other_spelling_of_the_path_takes_the_frameworks_way() -> None:
    app = TwoRoutes()
    fast = await app.ask("/fast/", [WISH], JSON)
    assert fast == await app.ask("/fast", [WISH], JSON)
    assert app.asked_framework == 1
    assert app.passed[:2] == app.passed[2:]


def test_route_with_a_query_parameter_can_not_be_marked() -> None:
    @post("/more", opt=FAST_PATH, guards=[PUBLIC])
    async def more(
        data: JSONBody[Wish],
        service: NamedDependency[str],
        page: Annotated[int | None, QueryParameter()] = None,
    ) -> Response[Granted]:
        return Response(Granted(data.item_name, page or 0, None, None, service, None))

    app = Litestar([more], dependencies=INJECTED, openapi_config=None)
    with pytest.raises(TypeError, match="can't read page"):
        FastPath(app)


def test_route_without_a_body_can_not_be_marked() -> None:
    @put("/nothing", opt=FAST_PATH, guards=[PUBLIC])
    async def nothing(service: NamedDependency[str]) -> Response[None]:
        return Response(None, headers={"By": service})

    with pytest.raises(TypeError, match="routes that take a body"):
        FastPath(Litestar([nothing], dependencies=INJECTED, openapi_config=None))


async def test_placing_an_order_is_the_only_marked_route(tmp_path: Path) -> None:
    environment = {"STATE_DIR": str(tmp_path), "NATS_URL": "nats://127.0.0.1:1"}
    app = create_app(settings_of("order", environment))
    assert FastPath(app).routes == [("POST", "/api/v1/orders")]
    await app.state["service"].database.close()


def test_fast_path_can_be_deleted_with_its_file() -> None:
    """`chassis/run.py` and one route import it, and this test."""
    pattern = re.compile(r"^(from|import) .*fast_path", re.MULTILINE)
    sources = sorted(
        path.relative_to(ROOT)
        for path in ROOT.rglob("*.py")
        if not path.relative_to(ROOT).parts[0].startswith(".")
    )
    importing = [str(path) for path in sources if pattern.search((ROOT / path).read_text())]
    assert importing == [
        "chassis/run.py",
        "order/routes/orders.py",
        "tests/integration/test_fastpath.py",
    ]
