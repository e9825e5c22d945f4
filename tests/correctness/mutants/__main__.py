"""`make mutants`: make each mistake in a copy of the project, and see that it is caught.

Ends with 1 when one survives, or when a mutant's text is not in the code any more.
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
from rich import box
from rich.console import Console
from rich.table import Table

from tests.correctness.mutants.table import MUTANTS, Mutant
from tests.kit.stack import copy_project

_MAX_SECONDS = 300


class Verdict(msgspec.Struct, frozen=True):
    mutant: Mutant
    caught: bool
    seconds: float
    note: str = ""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.correctness.mutants", description=__doc__
    )
    parser.add_argument("--only", default="", help="only mistakes with this in their words")
    chosen = [each for each in MUTANTS if parser.parse_args().only in each.mistake]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        verdicts = list(pool.map(_judge, chosen))
    _show(verdicts, Console())
    return 0 if all(verdict.caught for verdict in verdicts) else 1


def _judge(mutant: Mutant) -> Verdict:
    began = perf_counter()
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        copy = copy_project(Path(folder) / "copy")
        file = copy / mutant.file
        text = file.read_text()
        if text.count(mutant.old) != 1:
            return Verdict(mutant, caught=False, seconds=0, note="its text is not in the code")
        file.write_text(text.replace(mutant.old, mutant.new))
        note = _run(mutant, copy)
    return Verdict(mutant, caught=note == "", seconds=perf_counter() - began, note=note)


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
        return ""  # it never comes to rest: noticed too
    return "" if done.returncode == 1 else f"survived (exit {done.returncode})"


def _show(verdicts: list[Verdict], console: Console) -> None:
    table = Table("mistake", "in", "caught by", box=box.SIMPLE_HEAD)
    table.add_column("seconds", justify="right")
    table.add_column("")
    for verdict in verdicts:
        mutant = verdict.mutant
        killer = " ".join(mutant.killer[1:]).replace(
            "tests.correctness.model --bound small --only", "model:"
        )
        killer = killer.replace("pytest -q -x --no-header -p no:cacheprovider ", "")
        mark = "[green]caught" if verdict.caught else f"[bold red]{verdict.note}"
        row = (mutant.mistake, mutant.file, killer, f"{verdict.seconds:.0f}", mark)
        table.add_row(*row)
    console.print(table)
    caught = sum(verdict.caught for verdict in verdicts)
    score = 100 * caught // max(len(verdicts), 1)
    console.print(f"{caught} of {len(verdicts)} mutants caught: {score} %")


if __name__ == "__main__":
    sys.exit(main())
