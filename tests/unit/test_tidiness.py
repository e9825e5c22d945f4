"""The project reads alike everywhere: its words, its names, and what files use of each other."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.client import ROOT, SERVICES

OLD_WORDS = re.compile(
    r"\b(sayers?|hearers?|says again|said again|errands?|the door|turned away|let in|working set"
    r"|shelves|witness(es)?|unreadable|condemned|set aside|anew|in vain|nobody|somebody|whoever"
    r"|lose patience|stray money|his order|a lie|lies)\b",
    re.IGNORECASE,
)
"""What docs/glossary.md replaces."""

MAY_USE_THEM = {
    "CHANGELOG.md": "says what was renamed",
    "docs/glossary.md": "lists the words to avoid",
    "tests/unit/test_tidiness.py": "lists them too",
}
REASON_CODE = "UNREADABLE"
"""Of a dead letter, as clients see it."""

PRODUCTION = ("saga", "events", "chassis", *SERVICES)
EMPTY_NAMES = ("utils", "helpers", "manager")
LIBRARY_PRIVATE_NAMES = {
    "chassis/broker/nats_client.py": "nats-py has no public way; the file lists each name",
}


def files(*patterns: str) -> list[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


@pytest.mark.parametrize("name", files("*.py", "*.md", "Makefile", "*.conf", "*.lua", "*.sh"))
def test_no_old_word_is_used(name: str) -> None:
    if name in MAY_USE_THEM:
        return
    found = [
        f"{name}:{number}: {word[0]}"
        for number, line in enumerate((ROOT / name).read_text().splitlines(), 1)
        for word in OLD_WORDS.finditer(line.replace(REASON_CODE, ""))
    ]
    assert found == []


def test_no_file_has_a_name_that_tells_nothing() -> None:
    assert [name for name in files("*.py") if Path(name).stem in EMPTY_NAMES] == []


@pytest.mark.parametrize("folder", [*PRODUCTION, "infra", "ops"])
def test_no_file_uses_a_private_name_of_another(folder: str) -> None:
    found = [
        f"{name}:{line}: {private}"
        for name in files(f"{folder}/**.py", f"{folder}/*.py")
        if name not in LIBRARY_PRIVATE_NAMES
        for line, private in _foreign_private_names(ast.parse((ROOT / name).read_text()))
    ]
    assert found == []


def test_the_check_sees_a_foreign_private_name() -> None:
    source = "from a import _b\nimport c\n\nclass D:\n    def e(self):\n        self._f = c._g\n"
    assert list(_foreign_private_names(ast.parse(source))) == [(1, "_b"), (6, "_g")]


def _foreign_private_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    own = {name for node in ast.walk(tree) for name in _defined(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, each.name) for each in node.names if _is_private(each.name))
        elif isinstance(node, ast.Attribute) and _is_private(node.attr) and node.attr not in own:
            yield node.lineno, node.attr


def _defined(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
            yield node.attr
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")
