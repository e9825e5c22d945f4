"""The language of messages: negotiation, and a Korean sentence for every error code."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chassis.web.languages import CHASSIS, ENGLISH, Languages, Translation, negotiate
from events.messages import FOLDER
from events.participants import PARTICIPANTS
from tests.kit.client import ROOT

KNOWN = ("en", "ko", "fr")
HANGUL = re.compile("[가-힣]")


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("ko", "ko"),
        ("KO-kr", "ko"),
        ("ko-KR,ko;q=0.9,en-US;q=0.8,en;q=0.7", "ko"),
        ("en-US,en;q=0.9,ko;q=0.8", "en"),
        ("en;q=0.5, ko;q=0.9", "ko"),
        ("ko;q=0.5,en;q=0.50", "ko"),
        ("en,ko", "en"),
        ("de,ko;q=0.001", "ko"),
        ("de", "en"),
        ("*", "en"),
        ("ko;q=0, *", "en"),
        ("en;q=0, *;q=0.1", "ko"),
        ("en;q=0.2, *;q=0.5", "ko"),
        ("ko;q=0", "en"),
        ("ko;q=0.000,fr", "fr"),
        ("ko-KR;q=0.1, ko;q=0.9, en;q=0.5", "ko"),
        ("ko ; Q=0.8 , en ; q=0.2", "ko"),
        ("", "en"),
        (",,;,", "en"),
        ("ko;q=2,en;q=0.1", "en"),
        ("ko;q=x", "en"),
        ("ko;level=1", "en"),
        ("k\x00o", "en"),
        ("ko" * 5000, "en"),
    ],
)
def test_language_is_that_of_the_largest_weight(accepted: str, language: str) -> None:
    assert negotiate(accepted, KNOWN) == language


def test_header_may_come_in_several_lines() -> None:
    lines = [(b"accept-language", b"en;q=0.1"), (b"host", b"x"), (b"accept-language", b"ko")]
    scope: Any = {"headers": lines}
    assert Languages(CHASSIS).preferred(scope) == "ko"
    silent: Any = {"headers": []}
    assert Languages(CHASSIS).preferred(silent) == ENGLISH


# ---------------------------------------------------------------- every code has a sentence


@pytest.fixture(scope="module")
def korean() -> Translation:
    found = Languages(CHASSIS, FOLDER).translation("ko")
    assert found is not None
    return found


def sources() -> list[Path]:
    folders = ("saga", "chassis", *PARTICIPANTS)
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def codes_in(tree: ast.AST) -> Iterator[str]:
    """The codes that are given to errors, those of their classes, and those of the framework."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg in ("code", "error"):
            yield from _texts(node.value)
        elif isinstance(node, ast.Assign):
            names = {getattr(target, "id", "") for target in node.targets}
            if names & {"code", "_CODES"}:
                yield from _texts(node.value)


def _texts(node: ast.AST) -> Iterator[str]:
    for each in ast.walk(node):
        if isinstance(each, ast.Constant) and re.fullmatch(r"[A-Z][A-Z_]+", str(each.value)):
            yield str(each.value)


def codes() -> set[str]:
    return {code for path in sources() for code in codes_in(ast.parse(path.read_text()))}


def test_every_code_that_a_service_answers_has_a_korean_sentence(korean: Translation) -> None:
    found = codes() - {"CONFIGURATION"}  # it ends the process: no client gets it
    assert {"RETRY_LATER", "METHOD_NOT_ALLOWED", "INSUFFICIENT_STOCK", "CART_FULL"} <= found
    assert found - korean.sentences.keys() == set()
    assert [code for code, text in korean.sentences.items() if not HANGUL.search(text)] == []


def test_no_sentence_is_for_a_code_that_is_not_there(korean: Translation) -> None:
    assert korean.sentences.keys() - codes() == set()


def test_code_without_a_sentence_is_found() -> None:
    tree = ast.parse('raise Refused("no", code="NEW_CODE")\nclass A(B):\n    code = "OF_CLASS"')
    assert set(codes_in(tree)) == {"NEW_CODE", "OF_CLASS"}


_PLACE = {"Invalid": 0, "invalid": 1}
"""Which argument of a call is the text."""


def invalids() -> dict[str, str]:
    """The English texts of invalid requests, with 7 for each value, and their places."""
    return {
        _text(text): f"{path.name}:{node.lineno}"
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        for text in node.args[_PLACE.get(getattr(node.func, "id", ""), 9) :][:1]
        if isinstance(text, ast.Constant | ast.JoinedStr)
    }


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(map(_text, node.values))
    return str(node.value) if isinstance(node, ast.Constant) else "7"


def test_every_text_of_an_invalid_request_has_a_korean_one(korean: Translation) -> None:
    texts = invalids()
    assert len(texts) > 10
    english = {
        text: place
        for text, place in texts.items()
        if not HANGUL.search(korean.named_problem(text))
    }
    assert english == {}


def test_problem_keeps_the_name_of_the_field_and_its_values(korean: Translation) -> None:
    assert korean.named_problem("items[0].quantity: must be a whole number of at least 1") == (
        "items[0].quantity: 1 이상의 정수여야 합니다"
    )
    assert korean.named_problem("something new") == "something new"


def test_sentence_without_its_values_is_none(korean: Translation) -> None:
    assert korean.sentence("INSUFFICIENT_STOCK", {"available": 3}) == (
        "재고가 부족합니다. 남은 수량은 3개입니다."
    )
    assert korean.sentence("INSUFFICIENT_STOCK", {}) is None
    assert korean.sentence("NO_SUCH_CODE", {}) is None
