"""A whole local stack for tests.

It is started as a user starts it, by `infra.stack`, with free ports and a state folder of its own.
So the tests can run beside another stack, and every process is stopped by its id.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from infra.stack.config import CLUSTER_PORTS, DEFAULT_PORTS, SERVICES
from tests.kit.ports import free_port

__all__ = [
    "ROOT",
    "SERVICES",
    "copy_project",
    "free_port",
    "free_ports",
    "run_stack",
    "running_stack",
]

ROOT = Path(__file__).parents[2]


@contextmanager
def running_stack(
    folder: Path, *, root: Path | str = ROOT, **settings: str
) -> Iterator[Mapping[str, str]]:
    """Run a stack in this folder. Yields its environment.

    `root`: the folder of the project, or of a copy.
    """
    environment = {f"{part.upper()}_PORT": str(port) for part, port in free_ports().items()}
    environment |= {"STATE_DIR": str(folder), "NATS_CONTEXT": ""} | settings
    environment = os.environ | environment
    try:
        run_stack(environment, "up", root=root)
        lines = run_stack(environment, "env", root=root).splitlines()
        yield environment | dict(line.split("=", 1) for line in lines)
    finally:
        run_stack(environment, "down", root=root)


OPERATORS_COMMANDS = (
    "audit",
    "audit-log",
    "trace",
    "dlq",
    "redrive",
    "dismiss",
    "recovery",
    "release",
    "streams",
    "status",
    "load",
    "backup",
    "restore",
)


def run_stack(environment: Mapping[str, str], *words: str, root: Path | str = ROOT) -> str:
    """Run a command of the local stack or of the operators. Returns its output."""
    module = "ops" if words[0] in OPERATORS_COMMANDS else "infra.stack"
    done = subprocess.run(
        [sys.executable, "-m", module, *words],
        cwd=root,
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{words}: {done.stdout}\n{done.stderr}"
    return done.stdout


def copy_project(target: Path) -> Path:
    """The project's files as they are now, in another folder."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.splitlines():
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


def free_ports() -> dict[str, int]:
    """A port for each part of a stack, by the part's name."""
    return {part: free_port() for part in (*DEFAULT_PORTS, *CLUSTER_PORTS)}
