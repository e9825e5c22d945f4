"""A mistake that somebody could make, and what has to catch it."""

import msgspec

MODEL = ("-m", "tests.correctness.model", "--only")
PYTEST = ("-m", "pytest", "-q", "-x", "--no-header", "-p", "no:cacheprovider")


class Mutant(msgspec.Struct, frozen=True):
    """In `file` the text `old` is replaced by `new`; the command `killer` must then fail."""

    mistake: str
    file: str
    old: str
    new: str
    killer: tuple[str, ...]


def model(
    mistake: str, file: str, old: str, new: str, scenario: str, bound: str = "small"
) -> Mutant:
    """Caught by the exhaustive search of one scenario."""
    return Mutant(mistake, file, old, new, (*MODEL, scenario, "--bound", bound))


def tests(mistake: str, file: str, old: str, new: str, *which: str) -> Mutant:
    """Caught by these tests."""
    return Mutant(mistake, file, old, new, (*PYTEST, *which))
