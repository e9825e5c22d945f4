"""Every mutant can still be made: `make mutants` runs them, which is too long for every change."""

import ast
from pathlib import Path

import pytest

from tests.correctness.mutants.mutant import Mutant
from tests.correctness.mutants.source import Function, Misplaced
from tests.correctness.mutants.table import MUTANTS
from tests.kit.client import ROOT

SOURCE = '''
LIMIT = 3


class Shop:
    async def sell(self, units: int) -> int:
        """Sell — and count."""
        if units > LIMIT:
            raise ValueError(
                "too many"
            )
        return units

    def listed(self):
        yield 1
'''


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.mistake)
def test_mutant_changes_the_code_and_compiles(mutant: Mutant) -> None:
    source = (ROOT / mutant.file).read_text()
    mutated = mutant.apply(source)
    if mutant.file.suffix == ".py":
        compile(mutated, mutant.file, "exec")
        assert ast.dump(ast.parse(mutated)) != ast.dump(ast.parse(source))
    else:
        assert mutated != source


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.mistake)
def test_killer_of_a_mutant_exists(mutant: Mutant) -> None:
    for file, _, test in (
        word.partition("::") for word in mutant.killer if word.startswith("tests/")
    ):
        assert f"def {test.partition('[')[0]}" in (ROOT / file).read_text()


def test_each_mistake_is_in_the_table_once() -> None:
    assert len({each.mistake for each in MUTANTS}) == len(MUTANTS) >= 80


def test_fragment_is_found_whatever_its_line_breaks() -> None:
    mutated = Function(SOURCE, "Shop.sell").replace('ValueError("too many")', "TypeError")
    assert "raise TypeError\n" in mutated


def test_smallest_statement_around_a_fragment_is_dropped() -> None:
    assert "if units" not in Function(SOURCE, "Shop.sell").drop("units > LIMIT")
    assert "if units > LIMIT:\n            pass\n" in Function(SOURCE, "Shop.sell").drop("raise")


def test_skipped_function_returns_at_once() -> None:
    mutated = Function(SOURCE, "Shop.sell").skip("0")
    assert "-> int:\n        return 0\n\n    def listed" in mutated
    assert "yield from ()" in Function(SOURCE, "Shop.listed").skip("()")


def test_constant_is_a_place() -> None:
    assert "LIMIT = 4" in Function(SOURCE, "LIMIT").replace("3", "4")


@pytest.mark.parametrize("name", ["Shop.buy", "sell", "Shop.sell.units"])
def test_name_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(Misplaced):
        Function(SOURCE, name)


@pytest.mark.parametrize("fragment", ["units", "LIMITS", "unit"])
def test_fragment_that_is_not_there_once_is_refused(fragment: str) -> None:
    with pytest.raises(Misplaced):
        Function(SOURCE, "Shop.sell").replace(fragment, "x")


def test_mutant_is_made_in_the_copy_alone(tmp_path: Path) -> None:
    [mutant, *_] = MUTANTS
    (tmp_path / mutant.file).parent.mkdir(parents=True)
    before = (ROOT / mutant.file).read_text()
    (tmp_path / mutant.file).write_text(before)
    mutant.mutate(tmp_path)
    assert (tmp_path / mutant.file).read_text() == mutant.apply(before)
    assert (ROOT / mutant.file).read_text() == before
