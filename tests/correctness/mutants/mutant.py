"""A mistake that could be made in the project's code, and the check that must catch it."""

from pathlib import Path

import msgspec

from tests.correctness.mutants.source import Function, replace_text
from tests.kit.client import ROOT

_MODEL = ("-m", "tests.correctness.model", "--only")
_PYTEST = ("-m", "pytest", "-q", "-x", "--no-header", "-p", "no:cacheprovider")


class Replace(msgspec.Struct, frozen=True):
    """`new` takes the place of the fragment `old`."""

    old: str
    new: str

    def apply(self, function: Function) -> str:
        return function.replace(self.old, self.new)


class Drop(msgspec.Struct, frozen=True):
    """The smallest statement that contains the fragment is missing."""

    fragment: str

    def apply(self, function: Function) -> str:
        return function.drop(self.fragment)


class Skip(msgspec.Struct, frozen=True):
    """The function does nothing, and returns `value` (a generator: yields what is in it)."""

    value: str = "None"

    def apply(self, function: Function) -> str:
        return function.skip(self.value)


class Mutant(msgspec.Struct, frozen=True):
    """`name` in `module` is edited; the command `killer` must then fail.

    `module` is a Python module, or the path of another file; there `name` is empty.
    """

    mistake: str
    module: str
    name: str
    edit: Replace | Drop | Skip
    killer: tuple[str, ...]

    @property
    def place(self) -> str:
        return f"{self.module}:{self.name}" if self.name else self.module

    @property
    def file(self) -> Path:
        """Its path in the project."""
        return Path(self.module if "/" in self.module else f"{self.module.replace('.', '/')}.py")

    def apply(self, source: str) -> str:
        """The file's text with the mistake in it. Raises Misplaced when its place is not there."""
        if self.name:
            return self.edit.apply(Function(source, self.name))
        assert isinstance(self.edit, Replace), "another file's text can only be replaced"
        return replace_text(source, self.edit.old, self.edit.new)

    def mutate(self, root: Path = ROOT) -> None:
        """Make the mistake in a copy of the project. Raises Misplaced."""
        file = root / self.file
        file.write_text(self.apply(file.read_text()))


def model(scenario: str, bound: str = "small") -> tuple[str, ...]:
    """Caught by the exhaustive search of one scenario."""
    return (*_MODEL, scenario, "--bound", bound)


def tests(*which: str) -> tuple[str, ...]:
    """Caught by these tests: files, or `file::name`."""
    return (*_PYTEST, *which)


SCHEDULES = tests(
    "tests/correctness/simulation/test_simulation.py::"
    "test_every_order_ends_and_everything_adds_up_after_any_fault"
)
"""Caught by the simulation."""
