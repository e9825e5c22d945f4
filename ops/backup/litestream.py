"""The newest copy that Litestream has of a service's database."""

import subprocess
from pathlib import Path

from infra.stack import litestream
from infra.stack.config import StackError

NAME = "litestream"
"""`FROM=litestream` means this copy."""


def fetch(service: str, folder: Path) -> Path:
    """Write the copy into the folder. Raises StackError when there is none."""
    target, source = folder / f"{service}.db", litestream.replica_url(service)
    command = [litestream.program(), "restore", "-o", str(target), source]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not target.exists():
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise StackError(f"Litestream has no copy of {service} at {source}: {' '.join(last)}")
    return target
