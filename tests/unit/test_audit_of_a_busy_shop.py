"""The audit of a shop that goes on working while it is read."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from infra.stack.config import SERVICES
from ops.audit import judging, sources
from ops.audit.findings import Report, Result, Unjudged, Verdict
from ops.deployment import Deployment


def test_delivery_is_not_read_without_the_order_that_it_follows_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An order completes, and its delivery is recorded, between the snapshots of two databases."""
    files = {service: tmp_path / f"{service}.db" for service in SERVICES}
    for file in files.values():
        execute(file, "CREATE TABLE outbox (id); CREATE TABLE found (id); PRAGMA journal_mode=WAL")
    begin = sources._begin_snapshot
    begun: list[Connection] = []

    def interrupted(connection: Connection) -> None:
        begin(connection)
        begun.append(connection)
        if len(begun) == 1:
            for service in ("order", "dataplatform"):
                execute(files[service], "INSERT INTO found VALUES (1)")

    monkeypatch.setattr(sources, "_begin_snapshot", interrupted)
    urls = {f"{name.upper()}_DATABASE_URL": f"sqlite:///{file}" for name, file in files.items()}
    with sources.databases(Deployment(urls, None)) as found:
        rows = {
            service: found[service].execute(text("SELECT COUNT(*) FROM found")).scalar_one()
            for service in ("order", "dataplatform")
        }
    assert rows["dataplatform"] <= rows["order"]


def execute(file: Path, script: str) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(script)


def test_order_that_was_under_way_is_looked_at_again_however_long_a_look_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked = Result(check="all", looked_at=1, discrepancies=())
    under_way = Unjudged(key="order", why="it has just changed")
    looks = iter(((under_way,), ()))
    seconds = [0.0]

    def inspect(*_: object, **__: object) -> Report:
        seconds[0] += 60
        return Report(results=(looked,), orders=1, unjudged=next(looks))

    monkeypatch.setattr(judging, "inspect", inspect)
    monkeypatch.setattr(time, "monotonic", lambda: seconds[0])
    monkeypatch.setattr(time, "sleep", lambda _: None)
    assert judging.judge({}, wait_seconds=50).verdict is Verdict.CLEAN
