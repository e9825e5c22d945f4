"""The statements of every list route use an index, also for the order of the rows."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient
from sqlalchemy import event

from chassis.service import Service
from chassis.settings import Settings
from tests.kit.settings import settings_of
from tests.kit.stack import SERVICES

APPS: dict[str, Callable[[Settings], Litestar]] = {
    service: import_module(f"{service}.app").create_app for service in SERVICES
}
CUSTOMER = "3fa85f64-5717-4562-b3fc-2c963f66afa6"
SOMETIME = "2026-01-31T12:00:00Z"
LISTS = {
    "order": [
        "/orders",
        f"/orders?customerId={CUSTOMER}",
        "/orders?status=PENDING",
        "/orders?status=WAITING",
        "/orders?status=COMPLETED",
        "/orders?status=FAILED",
        "/orders?status=CANCELLED",
        f"/orders?customerId={CUSTOMER}&status=COMPLETED",
        f"/carts/{CUSTOMER}",
    ],
    "product": [
        "/products",
        "/products?status=DISCONTINUED",
        "/products?category=FOOD",
        "/categories",
        f"/products/{CUSTOMER}/queue",
        f"/products/{CUSTOMER}/stock/history",
        f"/products/{CUSTOMER}/stock/history?from={SOMETIME}&to={SOMETIME}",
        f"/products/{CUSTOMER}/prices",
    ],
    "coupon": ["/coupons", f"/issued-coupons?customerId={CUSTOMER}"],
    "payment": [
        f"/wallets/{CUSTOMER}/transactions",
        f"/payments?orderId={CUSTOMER}",
        f"/payments?customerId={CUSTOMER}",
    ],
    "dataplatform": ["/deliveries", "/deliveries?status=PENDING", "/deliveries?status=SENT"],
}
OPERATORS = ["/ops/dead-letters", "/ops/owed", "/ops/outbox"]
ASKED = [(service, path) for service in APPS for path in (*LISTS.get(service, ()), *OPERATORS)]


@pytest.mark.parametrize(("service", "path"), ASKED, ids=[f"{s}{p}" for s, p in ASKED])
async def test_list_uses_an_index(service: str, path: str, tmp_path: Path) -> None:
    plans = await _plans(service, path, tmp_path)
    assert plans, "it reads nothing"
    for statement, plan in plans:
        assert plan
        for step in plan:
            assert not _reads_every_row(step, statement), f"{statement}\n{plan}"


async def test_ranking_reads_the_days_of_its_window_only(tmp_path: Path) -> None:
    """Whole days are read from an index alone, which is a fifth of the table."""
    [(_, plan)] = await _plans("product", "/products/popular", tmp_path)
    assert "SEARCH sales USING COVERING INDEX sales_of_whole_days (day>?)" in plan
    assert "SEARCH sales USING PRIMARY KEY (day=?)" in plan
    assert not [step for step in plan if step.startswith(("SCAN sales", "SCAN products"))]


async def _plans(service: str, path: str, folder: Path) -> list[tuple[str, list[str]]]:
    """The statements of a route, each with SQLite's plan for it."""
    environment = {"STATE_DIR": str(folder), "NATS_URL": "nats://127.0.0.1:1"}
    app = APPS[service](settings_of(service, environment))
    asked: list[tuple[str, Any]] = []

    def note(_: object, __: object, statement: str, values: Any, *___: object) -> None:
        asked.append((statement, values))

    async with AsyncTestClient(app) as client:
        running: Service[Any] = app.state["service"]
        event.listen(running.database._reader.sync_engine, "before_cursor_execute", note)
        answer = await client.get(f"/api/v1{path}")
    assert answer.status_code in (200, 404), answer.text
    with closing(sqlite3.connect(folder / "db" / f"{service}.db")) as database:
        return [
            (
                statement,
                [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {statement}", values)],
            )
            for statement, values in asked
        ]


def _reads_every_row(step: str, statement: str) -> bool:
    """True for a table read without an index, and for rows sorted before the first is read.

    Sorting by the last column of an order alone is no such sort: it orders rows of the same time. A
    page of all rows by their key does not read every row, and a condition that is never true reads
    none: a service without unsettled states has it, and what belongs to the rows of an empty page.
    """
    if "WHERE 0 = 1" in statement or step in ("SCAN CONSTANT ROW", "SCAN (subquery-1)"):
        return False
    if step.startswith("USE TEMP B-TREE FOR ORDER BY"):
        return True
    is_a_page_of_all = "LIMIT" in statement and "WHERE" not in statement
    return step.startswith("SCAN") and "INDEX" not in step and not is_a_page_of_all
