"""docs/threats.md: each boundary with each kind of threat, and tests that exist."""

import json
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.kit.client import ROOT, SERVICES

PAGE = ROOT / "docs" / "threats.md"
KINDS = set("STRIDE")
BOUNDARIES = 6

_LINK = re.compile(r"\[(test_\w+)\]\(([^)#]+)\)")


class Row(msgspec.Struct, frozen=True):
    """A threat. `tests`: the name of each and its file, from the page's folder."""

    boundary: str
    kind: str
    threat: str
    does: str
    tests: list[tuple[str, str]]


def rows_of(page: str) -> list[Row]:
    rows, boundary = [], ""
    for line in page.splitlines():
        if line.startswith("## "):
            boundary = line[3:]
        elif line.startswith("| ") and not line.startswith("| |"):
            kind, threat, does, tests = line[2:-2].split(" | ")
            rows.append(Row(boundary, kind, threat, does, _LINK.findall(tests)))
    return rows


def problems_of(rows: list[Row], folder: Path) -> list[str]:
    found: list[str] = []
    for boundary in {row.boundary for row in rows}:
        kinds = {row.kind for row in rows if row.boundary == boundary}
        found += [f"{boundary}: no threat of kind {kind}" for kind in KINDS - kinds]
    for row in rows:
        if row.kind not in KINDS:
            found.append(f"{row.threat}: unknown kind")
        if not row.tests and "left open:" not in row.does.lower():
            found.append(f"{row.threat}: neither a test nor left open")
        found += [
            f"{row.threat}: there is no {name}"
            for name, file in row.tests
            if not _has(folder / file, name)
        ]
    return found


def _has(file: Path, test: str) -> bool:
    return file.is_file() and re.search(rf"\bdef {test}\(", file.read_text()) is not None


def test_each_threat_has_a_test_that_exists_or_is_left_open() -> None:
    rows = rows_of(PAGE.read_text())
    assert len({row.boundary for row in rows}) == BOUNDARIES
    assert problems_of(rows, PAGE.parent) == []


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"kind": "X"}, "unknown kind"),
        ({"tests": []}, "neither a test nor left open"),
        ({"tests": [("test_gone", "../tests/unit/test_threats.py")]}, "there is no test_gone"),
        ({"tests": [("test_gone", "../tests/unit/gone.py")]}, "there is no test_gone"),
    ],
)
def test_check_finds_a_wrong_row(changed: dict[str, object], problem: str) -> None:
    rows = rows_of(PAGE.read_text())
    wrong = msgspec.structs.replace(rows[0], **changed)
    assert problems_of([*rows, wrong], PAGE.parent) == [f"{wrong.threat}: {problem}"]


def test_check_finds_a_kind_that_a_boundary_lacks() -> None:
    rows = [row for row in rows_of(PAGE.read_text()) if (row.boundary, row.kind) != ("HTTP", "R")]
    assert problems_of(rows, PAGE.parent) == ["HTTP: no threat of kind R"]


def test_no_request_names_an_address_to_call() -> None:
    """A service calls the addresses of its settings alone."""
    documents = [json.loads(file.read_text()) for file in (ROOT / "docs/openapi").glob("*.json")]
    assert len(documents) == len(SERVICES)
    operations = [
        operation
        for document in documents
        for path in document["paths"].values()
        for operation in path.values()
    ]
    names = {each["name"] for operation in operations for each in operation.get("parameters", ())}
    names |= {
        name
        for document in documents
        for schema in document["components"]["schemas"].values()
        for name in schema.get("properties", ())
    }
    assert {"productId", "customerId", "Idempotency-Key"} <= names
    words = re.compile(r"url|uri|href|link|callback|webhook|host|endpoint", re.IGNORECASE)
    assert [name for name in names if words.search(name)] == []


@pytest.mark.parametrize(
    "command",
    [
        ("ops", "redrive", "../../order", "1"),
        ("ops", "backup", "../user"),
        ("ops", "restore", "order/../user", "--from", "x"),
        ("ops", "release", "order;id"),
        ("ops", "trace", "../../etc/passwd"),
        ("infra.stack", "logs", "--service", "../secrets.env"),
        ("infra.stack", "kill", "../../x"),
    ],
)
def test_path_as_a_name_is_refused(tmp_path: Path, command: tuple[str, ...]) -> None:
    module, *words = command
    done = subprocess.run(
        [sys.executable, "-m", module, *words],
        cwd=ROOT,
        env={"STATE_DIR": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert re.search(r"invalid choice|is not an order's id", done.stderr), done.stderr
    assert list(tmp_path.iterdir()) == []
