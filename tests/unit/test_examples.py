"""Every route has an example in docs/api.md. (In the OpenAPI documents: test_openapi.py.)"""

import re

from tests.e2e.api.routes import ROUTES
from tests.kit.client import ROOT

API = (ROOT / "docs" / "api.md").read_text()


def test_api_page_names_every_route_with_an_example() -> None:
    rows = re.findall(r"^\| (`(?:GET|POST|PUT|PATCH|DELETE) .*?`) \| (.+) \|$", API, re.MULTILINE)
    named = {
        re.sub(r"\{\w+\}", "{}", route)
        for routes, example in rows
        if "`" in example
        for route in re.findall(r"`([A-Z]+ [^`]+)`", routes)
    }
    assert named == {f"{r.method} {r.path.removeprefix('/api/v1')}" for r in ROUTES}


def test_each_example_of_api_page_calls_the_route_in_its_row() -> None:
    shown = re.findall(r"^\| `([A-Z]+) (/[^`]+)` \| `([^`]+)`", API, re.MULTILINE)
    assert len(shown) > 40
    for method, path, example in shown:
        given = re.search(r"-X ([A-Z]+)", example)
        method_sent = given[1] if given else ("POST" if " -d " in example else "GET")
        address = re.search(r"\$[OPWCDU](/[^ ?\"]+)", example)
        assert address is not None, example
        pattern = re.sub(r"\{\w+\}", r"(\\$[A-Z]+|\\d+)", path)
        assert method_sent == method, example
        assert re.fullmatch(pattern, address[1]), example
