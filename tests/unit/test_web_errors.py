"""Errors over HTTP, by real requests to a small application."""

import logging
from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
import pytest
from litestar import Litestar, Request, get, post
from litestar.datastructures import State
from litestar.params import JSONBody, QueryParameter
from litestar.testing import AsyncTestClient
from litestar.types import ASGIApp, Receive, Scope, Send

from chassis.web.errors import OUTAGE, ReadyMade, to_response
from chassis.web.idempotency import checked_key, key_of
from chassis.web.reading import StrictRequest, refuse_query
from chassis.web.schemas import Body, OptionalKey, RequiredKey, instant
from saga.errors import (
    BrokerAway,
    Conflict,
    DependencyFailed,
    ExternalSystemFailed,
    Invalid,
    KeyReused,
    NotFound,
    Outage,
    RetryLater,
    SagaError,
    Unauthorized,
    UnsupportedMediaType,
)

Client = AsyncTestClient[Litestar]

OVERLOAD = RetryLater("more comes than can be done", retry_after_seconds=7)
ERRORS: dict[str, tuple[SagaError, int, str]] = {
    "invalid": (Invalid("send a name"), 400, "VALIDATION_ERROR"),
    "unauthorized": (Unauthorized("send a token"), 401, "UNAUTHENTICATED"),
    "missing": (NotFound("there is no cake", code="CAKE_NOT_FOUND"), 404, "CAKE_NOT_FOUND"),
    "conflict": (Conflict("another was first"), 409, "CONFLICT"),
    "media-type": (UnsupportedMediaType("send JSON"), 415, "UNSUPPORTED_MEDIA_TYPE"),
    "key": (KeyReused("send a new key"), 422, "IDEMPOTENCY_KEY_REUSED"),
    "dependency": (
        DependencyFailed("the refund was refused", details={"attempt": 2}),
        424,
        "DEPENDENCY_FAILED",
    ),
    "external": (ExternalSystemFailed("it declined"), 502, "EXTERNAL_SYSTEM_FAILED"),
    "overload": (OVERLOAD, 503, "RETRY_LATER"),
}
EVERY_ERROR = pytest.mark.parametrize("name", ERRORS)


class Line(Body):
    product_id: str
    quantity: Annotated[int, msgspec.Meta(ge=1)]


class Wish(Body):
    items: Annotated[list[Line], msgspec.Meta(min_length=1)]
    name: str = ""


@get("/raise")
async def fail(
    name: Annotated[str, QueryParameter()],
) -> None:
    """Raise the error of this name, an outage or an unexpected one."""
    if name in ERRORS:
        raise ERRORS[name][0]
    if name == "outage":
        raise Outage("disk full at /secret")
    if name == "broker":
        raise BrokerAway("nats://user:secret@broker")
    raise ZeroDivisionError("a secret")


@post("/wishes")
async def wish(data: JSONBody[Wish], idempotency_key: OptionalKey = None) -> str:
    key_of("wishes", idempotency_key, data)
    return data.name


@get("/search")
async def search(
    text: Annotated[str | None, QueryParameter(name="query")] = None,
    page: Annotated[int | None, QueryParameter(ge=0)] = None,
    size: Annotated[int, QueryParameter(name="pageSize", ge=1)] = 20,
    since: Annotated[str | None, QueryParameter(name="from")] = None,
) -> dict[str, Any]:
    instant("from", since)
    return {"query": text, "page": page, "size": size}


@get("/keyed")
async def keyed(idempotency_key: RequiredKey) -> str:
    return checked_key(idempotency_key)


def rejecting(error: SagaError) -> Any:
    """ASGI middleware that answers with an error's ready-made messages."""
    rejection = ReadyMade(error)

    def wrap(app: ASGIApp) -> ASGIApp:  # the framework passes it by name
        async def reject(scope: Scope, _: Receive, send: Send) -> None:
            for message in rejection.messages(scope):
                await send(message)

        return reject

    return wrap


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async def before(request: Request[Any, Any, State]) -> None:
        refuse_query(request)

    app = Litestar(
        [
            *(fail, wish, search, keyed),
            *(
                get(f"/rejected/{name}", middleware=[rejecting(error)])(keyed.fn)
                for name, (error, _, _) in ERRORS.items()
            ),
        ],
        exception_handlers={Exception: to_response},
        request_class=StrictRequest,
        before_request=before,
        logging_config=None,
        openapi_config=None,
    )
    async with AsyncTestClient(app) as client:
        yield client


async def send(client: Client, body: object) -> dict[str, Any]:
    """The error that this body is answered with."""
    answer = await client.post("/wishes", json=body)
    assert answer.status_code == 400, answer.text
    found: dict[str, Any] = answer.json()
    assert found["error"] == "VALIDATION_ERROR"
    return found


@EVERY_ERROR
async def test_error_keeps_status_code_message_and_details(client: Client, name: str) -> None:
    error, status, code = ERRORS[name]
    answer = await client.get("/raise", params={"name": name})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"error": code, "message": error.message, "details": error.details}
    assert answer.headers.get("retry-after") == ("7" if name == "overload" else None)
    challenge = "Bearer" if name == "unauthorized" else None
    assert answer.headers.get("www-authenticate") == challenge


@pytest.mark.parametrize(
    ("accepted", "language", "message"),
    [
        ("ko-KR,ko;q=0.9,en;q=0.8", "ko", "7초 뒤에 같은 요청을 다시 보내 주세요"),
        ("en,ko;q=0.9", "en", OVERLOAD.message),
        ("de", "en", OVERLOAD.message),
    ],
)
@pytest.mark.parametrize("path", ["/raise?name=overload", "/rejected/overload"])
async def test_message_is_in_the_preferred_language(
    client: Client, path: str, accepted: str, language: str, message: str
) -> None:
    answer = await client.get(path, headers={"Accept-Language": accepted})
    assert (answer.status_code, answer.json()["error"]) == (503, "RETRY_LATER")
    assert message in answer.json()["message"]
    assert answer.headers["content-language"] == language
    assert answer.headers["vary"] == "Accept-Language"


async def test_message_without_a_translation_is_english(client: Client) -> None:
    answer = await client.get("/raise?name=missing", headers={"Accept-Language": "ko"})
    assert (answer.json()["message"], answer.headers["content-language"]) == (
        "there is no cake",
        "en",
    )


async def test_problems_are_translated_and_keep_their_fields(client: Client) -> None:
    body = {"items": [{"productId": "p", "quantity": 0}]}
    answer = await client.post("/wishes", json=body, headers={"Accept-Language": "ko"})
    found = answer.json()
    [problem] = found["details"]["problems"]
    assert problem == {
        "message": "1 이상의 정수여야 합니다",
        "source": "body",
        "key": "items[0].quantity",
    }
    assert found["message"].endswith(f"items[0].quantity: {problem['message']}")
    answer = await client.get("/search?pageSize=0", headers={"Accept-Language": "ko"})
    [problem] = answer.json()["details"]["problems"]
    assert problem["key"] == "pageSize"
    assert problem["message"] == "1 이상의 정수여야 합니다"


@pytest.mark.parametrize("language", ["en", "ko"])
@EVERY_ERROR
async def test_ready_made_answer_is_the_usual_one(client: Client, name: str, language: str) -> None:
    client.headers["Accept-Language"] = language
    usual = await client.get("/raise", params={"name": name})
    ready = await client.get(f"/rejected/{name}")
    assert (ready.status_code, ready.content) == (usual.status_code, usual.content)
    assert dict(ready.headers) == dict(usual.headers)


@pytest.mark.parametrize("name", ["outage", "broker"])
async def test_outage_is_503_with_a_fixed_sentence(
    client: Client, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "chassis.web.errors"):
        answer = await client.get("/raise", params={"name": name})
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.json() == {"error": "RETRY_LATER", "message": OUTAGE.message, "details": None}
    assert "secret" in vars(caplog.records[-1])["error"]


async def test_crash_is_logged_and_keeps_its_reason_to_itself(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await client.get("/raise", params={"name": "crash"})
    assert answer.status_code == 500
    assert answer.json()["error"] == "INTERNAL_ERROR"
    assert "secret" not in answer.text
    [logged] = [each for each in caplog.records if each.message == "a request failed"]
    assert logged.exc_info is not None


GOOD_LINE = {"productId": "p", "quantity": 1}
WRONG_FIELDS: dict[str, tuple[object, str, str]] = {
    "in a list": (
        {"items": [GOOD_LINE, GOOD_LINE | {"quantity": 0}]},
        "items[1].quantity",
        "must be a whole number of at least 1",
    ),
    "of another type": (
        {"items": [GOOD_LINE], "name": 3},
        "name",
        "must be a text, not a whole number",
    ),
    "missing": (
        {"items": [{"quantity": 1}]},
        "items[0].productId",
        "is missing",
    ),
    "missing at the top": ({}, "items", "is missing"),
    "unknown": (
        {"items": [GOOD_LINE | {"qantity": 1}]},
        "items[0].qantity",
        "there is no such field",
    ),
    "unknown with a place in its name": (
        {"items": [GOOD_LINE | {"x - at `$.y`": 1}]},
        "items[0].x - at `$.y`",
        "there is no such field",
    ),
}


@pytest.mark.parametrize("what", WRONG_FIELDS)
async def test_problem_of_a_body_names_the_field(client: Client, what: str) -> None:
    body, key, message = WRONG_FIELDS[what]
    found = await send(client, body)
    assert found["details"] == {"problems": [{"message": message, "source": "body", "key": key}]}
    assert found["message"] == f"{key}: {message}"


async def test_problem_of_a_whole_body_has_no_key(client: Client) -> None:
    found = await send(client, [])
    message = "must be an object, not a list"
    assert found["details"] == {"problems": [{"message": message, "source": "body"}]}
    assert found["message"] == f"the body: {message}"


async def test_malformed_body_has_no_problems(client: Client) -> None:
    answer = await client.post("/wishes", content=b'{"items":')
    assert answer.status_code == 400
    assert answer.json()["details"] is None
    assert answer.json()["message"].startswith("the body can't be used: ")


async def test_problems_of_parameters_name_them_as_the_client_does(client: Client) -> None:
    answer = await client.get("/search?page=-1&pageSize=x")
    assert answer.status_code == 400
    problems = answer.json()["details"]["problems"]
    assert [(each["key"], each["message"]) for each in problems] == [
        ("page", "must be a whole number of at least 0"),
        ("pageSize", "must be a whole number, not a text"),
    ]
    assert answer.json()["message"] == (
        "page: must be a whole number of at least 0; pageSize: must be a whole number, not a text"
    )


async def test_problem_of_a_time_names_the_parameter(client: Client) -> None:
    answer = await client.get("/search?from=yesterday")
    assert answer.status_code == 400
    [problem] = answer.json()["details"]["problems"]
    assert (problem["key"], problem["source"]) == ("from", "query")
    assert answer.json()["message"] == f"from: {problem['message']}"


@pytest.mark.parametrize("key", ["\t", "k\u00e9", "k" * 256])
async def test_problem_of_an_idempotency_key_names_the_header(client: Client, key: str) -> None:
    headers = {b"Idempotency-Key": key.encode()}
    answer = await client.post("/wishes", json={"items": [GOOD_LINE]}, headers=headers)
    assert answer.status_code == 400
    [problem] = answer.json()["details"]["problems"]
    assert (problem["key"], problem["source"]) == ("Idempotency-Key", "header")


async def test_missing_idempotency_key_is_a_problem_of_the_header(client: Client) -> None:
    answer = await client.get("/keyed")
    assert answer.status_code == 400
    assert answer.json()["details"]["problems"][0]["key"] == "Idempotency-Key"


async def test_text_parameter_may_be_the_text_null(client: Client) -> None:
    answer = await client.get("/search?query=null")
    assert answer.status_code == 200
    assert answer.json()["query"] == "null"


@pytest.mark.parametrize("query", ["page=null", "pageSize=NULL", "unknown=null"])
async def test_any_other_parameter_may_not_be_null(client: Client, query: str) -> None:
    answer = await client.get(f"/search?{query}")
    assert answer.status_code == 400
    [problem] = answer.json()["details"]["problems"]
    assert problem["key"] == query.partition("=")[0]


async def test_unknown_route_and_method_are_in_the_error_format(client: Client) -> None:
    missing, wrong_method = await client.get("/nowhere"), await client.post("/keyed")
    assert (missing.status_code, missing.json()["error"]) == (404, "NOT_FOUND")
    assert (wrong_method.status_code, wrong_method.json()["error"]) == (405, "METHOD_NOT_ALLOWED")
    assert wrong_method.headers["allow"]
