"""The parts' logs, one file each, rotated by the supervisor."""

import os
import sys
from collections import deque
from pathlib import Path

from infra.stack.config import Stack, StackError

_LINES = "100"


def show(stack: Stack, part: str | None) -> None:
    """Print the last lines, and follow the files in a terminal. Does not return."""
    files = [stack.log(name) for name in ([part] if part else stack.parts)]
    missing = [file.name for file in files if not file.exists()]
    if missing:
        raise StackError(f"There is no {', '.join(missing)} yet: it was never started.")
    # -F follows the name, so that it continues after a rotation.
    follow = ["-F"] if sys.stdout.isatty() else []
    sys.stdout.flush()
    os.execvp("tail", ["tail", "-n", _LINES, *follow, *map(str, files)])  # noqa: S606


def tail(file: Path, *, lines: int) -> str:
    """The last lines of a log, or the reason why there are none."""
    try:
        with file.open(errors="replace") as log:
            return "".join(deque(log, maxlen=lines)).rstrip() or "(empty)"
    except FileNotFoundError:
        return "(it wrote no log)"
