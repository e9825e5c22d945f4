"""Litestream, which copies every SQLite database of the stack continuously (`LITESTREAM=1`)."""

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from infra.stack import config
from infra.stack.config import SERVICES, Stack, StackError

PART = "litestream"

# Litestream alone may checkpoint: SQLite up to 3.51.2 can corrupt its write-ahead log when two
# processes do (sqlite.org/wal.html, "The WAL-Reset Bug"). Litestream has a newer SQLite.
CHECKPOINTED_ELSEWHERE = "?autocheckpoint=0"


def program() -> str:
    found = config.program("litestream")
    if found is None:
        raise StackError("litestream is not installed. Run: make litestream")
    return found


def replica_url(service: str, environment: Mapping[str, str] = os.environ) -> str:
    """Where the copies of a service's database are: below LITESTREAM_URL, or in STATE_DIR."""
    base = environment.get("LITESTREAM_URL") or f"file://{config.state_dir(environment)}/replicas"
    return f"{base.rstrip('/')}/{service}"


def command(stack: Stack, inherited: Mapping[str, str]) -> list[str]:
    """Write the configuration. Returns the program and its arguments."""
    databases = [
        {
            "path": str(config.database_file(stack, service)),
            "replica": {"url": replica_url(service, inherited)},
        }
        for service in SERVICES
        if not inherited.get(f"{service.upper()}_DATABASE_URL")
    ]
    file: Path = stack.state_dir / "litestream.yml"
    file.write_bytes(msgspec.json.format(msgspec.json.encode({"dbs": databases})))  # JSON is YAML
    return [program(), "replicate", "-config", str(file), "-no-expand-env"]
