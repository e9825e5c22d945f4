"""The machine and the versions that were measured."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

from bench.peers.servers import PYTHON, RESTATE
from infra.stack import config

OURS = ("nats-py", "litestar", "uvicorn", "sqlalchemy", "msgspec")
PEERS = ("restate-sdk", "dbos")


def about() -> dict[str, str]:
    """Names and versions, in the order in which they are shown."""
    found = {
        "processor": f"{os.cpu_count()} cores, {_processor()}",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "nats-server": _output([str(config.program("nats-server")), "--version"]).split()[-1],
        "SQLite": _output([str(PYTHON), "-c", "import sqlite3; print(sqlite3.sqlite_version)"]),
    }
    found |= {name: version(name) for name in OURS}
    script = "import sys; from importlib.metadata import version; print(version(sys.argv[1]))"
    found |= {name: _output([str(PYTHON), "-c", script, name]) for name in PEERS}
    found["restate-server"] = _output([str(RESTATE), "--version"]).split()[-1:][0]
    return found


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "not installed"
    return done.stdout.strip()
