"""Every mutant can still be made: `make mutants` runs them, which is too long for every change."""

import pytest

from tests.correctness.mutants.table import MUTANTS, Mutant
from tests.kit.client import ROOT


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.mistake)
def test_its_text_is_in_the_code_once(mutant: Mutant) -> None:
    assert (ROOT / mutant.file).read_text().count(mutant.old) == 1
    assert mutant.old != mutant.new


def test_no_mistake_stands_there_twice() -> None:
    assert len({each.mistake for each in MUTANTS}) == len(MUTANTS) >= 25
