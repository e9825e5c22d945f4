"""The documents that are written from the code are up to date, and name every variable."""

import subprocess
import sys
from pathlib import Path

import pytest

from chassis.settings import variables
from events.participants import PARTICIPANTS
from tests.kit.client import ROOT
from tests.kit.settings import settings_of


def check(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "infra.documents", "--check"],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_documents_are_up_to_date() -> None:
    done = check(ROOT)
    assert (done.returncode, done.stderr) == (0, "")


def test_check_fails_where_a_document_is_stale_or_missing(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "databases.md").write_text("something else")
    done = check(tmp_path)
    assert done.returncode == 1
    names = ["access.md", "configuration.md", "databases.md", "errors.md", "personal-data.md"]
    names += [f"openapi/{service}.json" for service in PARTICIPANTS]
    assert done.stderr.splitlines() == [
        f"docs/{name} is stale: run make documents" for name in names
    ]


@pytest.mark.parametrize("service", PARTICIPANTS)
def test_every_variable_of_a_service_is_documented(service: str) -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    for _, variable in variables(type(settings_of(service))):
        assert f"| `{variable.name}` |" in text
