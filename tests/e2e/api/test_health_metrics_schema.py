"""What operators and tools read of a service: health, metrics and the API's description."""

import re
from functools import partial
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.api.raw_http import Wire
from tests.e2e.api.routes import ROUTES
from tests.kit.client import SERVICES, Shop, order, wait_until

SERVICE = pytest.mark.parametrize("service", SERVICES)
UUID = re.compile(
    r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.IGNORECASE
)
# Names of vocabularies, which no browser requests.
NAMESPACES = ("http://www.w3.org/",)

Figures = dict[tuple[str, tuple[tuple[str, str], ...]], float]


async def figures(shop: Shop, service: str) -> Figures:
    answer = await shop.call(service, "GET", "/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    families = list(text_string_to_metric_families(answer.body))
    assert len({family.name for family in families}) == len(families)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


@SERVICE
async def test_live_service_answers_200(shop: Shop, service: str) -> None:
    answer = await shop.call(service, "GET", "/health/live")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.body["status"] == "alive"


@SERVICE
async def test_ready_service_names_its_checks(shop: Shop, service: str) -> None:
    await shop.wait_until_idle()
    answer = await shop.call(service, "GET", "/health/ready")
    assert answer.status == 200
    assert set(answer.body) == {"status", "checks"}
    assert answer.body["status"] == "ready"
    checks = answer.body["checks"]
    external = {"payment": {"payment_gateway"}, "dataplatform": {"data_platform"}}
    external_checks = external.get(service, set())
    assert {"database", "writing", "broker", "outbox"} | external_checks == set(checks)
    assert {name for name, each in checks.items() if each["external"]} == external_checks
    assert [name for name, each in checks.items() if each["required"]] == ["database"]
    for check in checks.values():
        assert set(check) == {"ok", "detail", "required", "external"}
        assert check["ok"] is True
        assert check["detail"]


async def test_metrics_count_the_events_of_an_order(shop: Shop) -> None:
    customer, cake = await shop.create_wallet(1000), await shop.create_product(price=30, stock=10)
    before = {service: await figures(shop, service) for service in SERVICES}
    found = await shop.buy(order(customer, (cake, 1)))
    await shop.wait_until_idle()

    async def grown(service: str, name: str, **labels: str) -> bool:
        key = (name, tuple(sorted(labels.items())))
        now = (await figures(shop, service)).get(key, 0)
        return now > before[service].get(key, 0)

    expected = [
        ("order", "saga_events_emitted_total", {"event": "OrderCreated"}),
        ("coupon", "saga_events_consumed_total", {"event": "OrderCreated"}),
        ("coupon", "saga_events_emitted_total", {"event": "CouponUsed"}),
        ("product", "saga_events_consumed_total", {"event": "CouponUsed"}),
        ("product", "saga_events_emitted_total", {"event": "StockDecremented"}),
        ("payment", "saga_events_emitted_total", {"event": "PaymentCompleted"}),
        ("order", "saga_events_consumed_total", {"event": "PaymentCompleted"}),
        ("order", "saga_events_emitted_total", {"event": "OrderCompleted"}),
        ("dataplatform", "saga_events_consumed_total", {"event": "OrderCompleted"}),
        ("dataplatform", "shop_deliveries_total", {"outcome": "accepted"}),
    ]
    for service, name, labels in expected:
        # Counted after the commit, perhaps a moment after the order has ended.
        counted = partial(grown, service, name, **labels)
        await wait_until(counted, f"{service} has counted {name} {labels}")
    assert found["status"] == "COMPLETED"


@SERVICE
async def test_requests_are_counted_by_route_without_ids_in_labels(
    shop: Shop, service: str
) -> None:
    customer, cake = await shop.create_wallet(1000), await shop.create_product(price=30, stock=10)
    found = await shop.buy(order(customer, (cake, 1), couponId=await shop.create_coupon(customer)))
    order_id = found["orderId"]
    paths = [route.path for route in ROUTES if route.service == service and route.method == "GET"]
    for path in [*paths, "/api/v1/no-such/{}", "/{}"]:
        for each in (order_id, customer, cake, "not-an-id"):
            await shop.call(service, "GET", path.replace("{}", each))
    counted = await figures(shop, service)
    labels = {value for _, pairs in counted for _, value in pairs}
    assert len(labels) > 10
    assert [value for value in labels if UUID.search(value) or "not-an-id" in value] == []
    routes = {dict(pairs).get("route") for name, pairs in counted if name == "http_requests_total"}
    assert "/api/v1/ops/outbox" in routes


class References(HTMLParser):
    """The addresses that a browser requests for a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.feed(text)

    def handle_starttag(self, _: str, attrs: list[tuple[str, str | None]]) -> None:
        names = {"src", "href", "data", "action", "poster", "srcset", "content"}
        self.found |= {value for name, value in attrs if name in names and value and "/" in value}


async def assets(wire: Wire, service: str) -> dict[str, str]:
    """The page's assets and those they name, by address. The service serves all of them."""
    page = await wire.send(service, "GET", "/schema")
    assert page.status == 200
    assert page.headers["Content-Type"].startswith("text/html")
    found: dict[str, str] = {}
    for reference in References(page.body).found:
        assert not urlsplit(reference).netloc, f"{reference} is somewhere else"
        answer = await wire.send(service, "GET", urljoin("/schema", reference))
        assert answer.status == 200, reference
        found[reference] = answer.body
    return found


@SERVICE
async def test_schema_page_works_offline(wire: Wire, service: str) -> None:
    found = await assets(wire, service)
    assert any(name.endswith(".js") for name in found)
    assert any(name.endswith(".css") for name in found)
    for name, text in found.items():
        if name.endswith(".css"):
            inner = re.findall(r"(?:url\(|@import\s)\s*['\"]?([^'\")\s]+)", text)
            foreign = [each for each in inner if not each.startswith("data:")]
            assert foreign == [], f"{name} fetches them"


@SERVICE
async def test_schema_page_names_no_other_host(wire: Wire, service: str) -> None:
    page = (await wire.send(service, "GET", "/schema")).body
    hosts = re.findall(r"(?:https?:)?//[\w.-]+\.[a-z]{2,}[^\s\"'<>]*", page)
    assert [host for host in hosts if not host.startswith(NAMESPACES)] == []


@SERVICE
async def test_description_is_openapi(wire: Wire, service: str) -> None:
    document = await wire.openapi(service)
    assert re.fullmatch(r"3\.1\.\d+", document["openapi"])
    assert document["info"]["title"]
    assert document["info"]["version"]
    operations = [
        operation for methods in document["paths"].values() for operation in methods.values()
    ]
    ids = [operation["operationId"] for operation in operations]
    assert len(set(ids)) == len(ids)
    for operation in operations:
        assert operation["summary"]
        assert operation["responses"]
        for status, response in operation["responses"].items():
            assert re.fullmatch(r"[1-5]\d\d|default", status)
            assert response["description"]
    for path, methods in document["paths"].items():
        named = set(re.findall(r"{([^}]+)}", path))
        for operation in methods.values():
            parameters = operation.get("parameters", [])
            assert {each["name"] for each in parameters if each["in"] == "path"} == named
            assert all(each["required"] for each in parameters if each["in"] == "path")
    dangling = [name for name in references(document) if resolve(document, name) is None]
    assert dangling == []


@SERVICE
async def test_description_is_in_camel_case(wire: Wire, service: str) -> None:
    document = await wire.openapi(service)
    names = {name for path in document["paths"] for name in re.findall(r"{([^}]+)}", path)}
    for methods in document["paths"].values():
        for operation in methods.values():
            parameters = operation.get("parameters", [])
            names |= {each["name"] for each in parameters if each["in"] in ("path", "query")}
    for schema in document["components"]["schemas"].values():
        names |= set(schema.get("properties", {}))
    assert len(names) > 10
    assert sorted(name for name in names if not re.fullmatch(r"[a-z][a-zA-Z0-9]*", name)) == []


@SERVICE
async def test_description_has_the_fields_of_each_body(wire: Wire, service: str) -> None:
    """Each field of a route's body is described, and marked as required where it is."""
    document = await wire.openapi(service)
    described = {
        f"{method.upper()} {re.sub(r'{[^}]+}', '{}', path)}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    for route in ROUTES:
        if route.service != service:
            continue
        operation = described[f"{route.method} {route.path}"]
        assert ("requestBody" in operation) == bool(route.body)
        if route.body:
            content = operation["requestBody"]["content"]["application/json"]["schema"]
            schema = resolve(document, content["$ref"])
            assert set(schema["properties"]) == set(route.body)
        queries = {
            each["name"] for each in operation.get("parameters", []) if each["in"] == "query"
        }
        assert queries == set(route.query)


def references(node: Any) -> set[str]:
    """Every `$ref` of a document."""
    if isinstance(node, list):
        return {found for each in node for found in references(each)}
    if not isinstance(node, dict):
        return set()
    own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
    return own | {found for each in node.values() for found in references(each)}


def resolve(document: Any, reference: str) -> Any:
    node = document
    for step in reference.removeprefix("#/").split("/"):
        node = node.get(step) if isinstance(node, dict) else None
    return node
