"""The tables of docs/performance.md are those of docs/performance.json."""

import shutil
from pathlib import Path

import msgspec

from bench import report
from tests.kit.stack import ROOT

DOCS = ROOT / "docs"


def test_performance_tables_are_up_to_date(tmp_path: Path) -> None:
    figures = msgspec.json.decode((DOCS / "performance.json").read_bytes(), type=report.Figures)
    page = Path(shutil.copy2(DOCS / "performance.md", tmp_path / "performance.md"))

    report.write(figures, tmp_path)

    assert page.read_text() == (DOCS / "performance.md").read_text()
