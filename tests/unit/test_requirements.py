"""docs/requirements.md: each requirement once, with code and tests that exist."""

import re
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from tests.kit.client import ROOT

PAGE = ROOT / "docs" / "requirements.md"
REQUIREMENTS = {"S0": 31, "S1": 23, "S2": 32, "S3": 19, "S4": 30, "DC": 6, "X": 5, "N": 6}
"""How many requirements there are under each prefix."""

STATES = ("works", "partly", "missing", "refused")

_ROW = re.compile(r"\| (?P<id>[A-Z]+\d?-\d+) \| (?P<cells>.*) \|")
_LINK = re.compile(r"\[[^\]]+\]\(([^)#]+)[^)]*\)")


class Row(msgspec.Struct, frozen=True):
    """A row of the page. `lacking`: what is missing, or what happens instead."""

    id: str
    requirement: str
    state: str
    lacking: str
    code: list[str]
    tests: list[str]


def rows_of(page: str) -> list[Row]:
    return [_row(line) for line in map(_ROW.fullmatch, page.splitlines()) if line]


def _row(line: re.Match[str]) -> Row:
    requirement, state, code, tests = line["cells"].split(" | ")
    name, _, lacking = state.partition(": ")
    return Row(line["id"], requirement, name, lacking, _LINK.findall(code), _LINK.findall(tests))


def problems_of(rows: list[Row]) -> list[str]:
    """What is wrong with the rows, links apart."""
    expected = [
        f"{prefix}-{number:02}"
        for prefix, count in REQUIREMENTS.items()
        for number in range(1, count + 1)
    ]
    found = Counter(row.id for row in rows)
    return [
        *(f"{each}: there {found[each]} times" for each in expected if found[each] != 1),
        *(f"{each}: unknown" for each in found if each not in expected),
        *(f"{row.id}: {problem}" for row in rows for problem in _problems_of_row(row)),
    ]


def _problems_of_row(row: Row) -> list[str]:
    works = row.state == "works"
    is_code = [not each.startswith(("../tests/", "../docs/")) for each in row.code]
    is_test = [each.startswith("../tests/") and "/test_" in each for each in row.tests]
    checks = {
        "unknown state": row.state in STATES,
        "works, and lacks something": not (works and row.lacking),
        "does not name what is lacking": works or bool(row.lacking),
        "no code": not works or bool(row.code),
        "no test": not works or bool(row.tests),
        "its code is no code": all(is_code),
        "its tests are no tests": all(is_test),
    }
    return [problem for problem, is_fine in checks.items() if not is_fine]


def dead_links(page: str, folder: Path) -> list[str]:
    return [link for link in _LINK.findall(page) if not (folder / link).is_file()]


def test_each_requirement_is_there_once_with_code_and_tests() -> None:
    assert problems_of(rows_of(PAGE.read_text())) == []


def test_every_link_leads_to_a_file() -> None:
    assert dead_links(PAGE.read_text(), PAGE.parent) == []


def test_counts_at_the_top_are_those_of_the_rows() -> None:
    page = PAGE.read_text()
    states = Counter(row.state for row in rows_of(page))
    stated = re.search(
        r"\*\*(\d+) of (\d+) work, (\d+) work\s+in part, (\d+) are missing, (\d+) are refused", page
    )
    assert stated is not None
    works, total, *others = map(int, stated.groups())
    assert [works, *others] == [states[each] for each in STATES]
    assert total == sum(REQUIREMENTS.values())


def test_check_finds_a_row_that_is_missing_and_one_that_is_there_twice() -> None:
    rows = rows_of(PAGE.read_text())

    problems = problems_of([*rows[1:], rows[1]])

    assert problems == [f"{rows[0].id}: there 0 times", f"{rows[1].id}: there 2 times"]


@pytest.mark.parametrize(
    ("state", "code", "tests", "problem"),
    [
        ("works", "-", "[a](../tests/unit/test_a.py)", "no code"),
        ("works", "[a](../a.py)", "-", "no test"),
        ("works: nearly", "[a](../a.py)", "[a](../tests/test_a.py)", "works, and lacks something"),
        ("works", "[a](../docs/a.md)", "[a](../tests/test_a.py)", "its code is no code"),
        ("works", "[a](../a.py)", "[a](../tests/kit/a.py)", "its tests are no tests"),
        ("partly", "-", "-", "does not name what is lacking"),
        ("soon: it", "-", "-", "unknown state"),
    ],
)
def test_check_finds_an_incomplete_row(state: str, code: str, tests: str, problem: str) -> None:
    rows = rows_of(PAGE.read_text())
    changed = rows_of(f"| {rows[0].id} | it is done | {state} | {code} | {tests} |")

    assert problems_of([*changed, *rows[1:]]) == [f"{rows[0].id}: {problem}"]


def test_check_finds_a_dead_link(tmp_path: Path) -> None:
    (tmp_path / "there.py").touch()

    assert dead_links("[a](there.py) [b](gone.py)", tmp_path) == ["gone.py"]
