"""`make mutants`: make each mistake in a copy of the project, and check that it is caught.

Ends with 1 when a mutant survives, or when its place is not in the code any more.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter

import msgspec

from tests.correctness.mutants.mutant import Mutant
from tests.correctness.mutants.source import Misplaced
from tests.correctness.mutants.table import MUTANTS
from tests.kit.stack import copy_project

_MAX_SECONDS = 600


class Result(msgspec.Struct, frozen=True):
    """`survived`: how, or empty when the mutant was caught."""

    mutant: Mutant
    seconds: float
    survived: str

    def __str__(self) -> str:
        outcome = self.survived or "caught"
        killer = _shortened(self.mutant.killer)
        about = f"{self.mutant.mistake} ({self.mutant.place}; {killer})"
        return f"{self.seconds:4.0f} s  {outcome}: {about}"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.correctness.mutants", description=__doc__
    )
    parser.add_argument("--only", default="", help="only mistakes or places with this text in them")
    only = parser.parse_args().only
    chosen = [each for each in MUTANTS if only in each.mistake or only in each.place]
    results: list[Result] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for result in pool.map(_try, chosen):
            results.append(result)
            print(result, flush=True)
    caught = sum(not each.survived for each in results)
    print(f"{caught} of {len(results)} mutants caught: {100 * caught // max(len(results), 1)} %")
    return 0 if results and caught == len(results) else 1


def _try(mutant: Mutant) -> Result:
    began = perf_counter()
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        copy = copy_project(Path(folder) / "copy")
        try:
            mutant.mutate(copy)
        except Misplaced as error:
            return Result(mutant, 0, str(error))
        survived = _run(mutant, copy)
    return Result(mutant, perf_counter() - began, survived)


def _run(mutant: Mutant, copy: Path) -> str:
    """Empty when the killer failed as it should."""
    environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONHASHSEED": "0"}
    try:
        done = subprocess.run(
            [sys.executable, *mutant.killer],
            cwd=copy,
            env=environment,
            capture_output=True,
            timeout=_MAX_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"did not end within {_MAX_SECONDS} s"
    is_search = "tests.correctness.model" in mutant.killer
    if is_search and b"Traceback" in done.stderr:  # exit 1 too, but no violation was found
        return "crashed the search"
    return "" if done.returncode == 1 else f"survived (exit {done.returncode})"


def _shortened(killer: tuple[str, ...]) -> str:
    if "tests.correctness.model" in killer:
        return f"model: {killer[killer.index('--only') + 1]}"
    return " ".join(killer[killer.index("no:cacheprovider") + 1 :])


if __name__ == "__main__":
    sys.exit(main())
