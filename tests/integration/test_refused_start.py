"""A service that can't start ends with one line, also while the broker is away."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.client import ROOT


def started(folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {"STATE_DIR": str(folder), "NATS_URL": "nats://127.0.0.1:1"} | settings
    return subprocess.run(
        [sys.executable, "-m", "coupon"],
        cwd=ROOT,
        env=dict(os.environ) | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ("LOG_LEVEL=LOUD", "LOG_LEVEL=LOUD: use DEBUG, INFO, WARNING or ERROR"),
        ("COUPON_DATABASE_URL=postgresql://a@h:x/y", "the database's URL is malformed: "),
        ("COUPON_DATABASE_URL=sqlite+aiosqlite:////proc/no/x.db", "the database can't be used: "),
        ("HOST=203.0.113.9", "HOST=203.0.113.9 can be reached by others: set AUTH=on, or AUTH=off"),
        ("AUTH=yes", "AUTH=yes: use on or off"),
    ],
)
def test_wrong_setting_ends_the_process_with_one_line(
    tmp_path: Path, setting: str, line: str
) -> None:
    name, _, value = setting.partition("=")
    ended = started(tmp_path, **{name: value})
    [shown] = (ended.stdout + ended.stderr).splitlines()
    assert (ended.returncode, shown.startswith(f"coupon: {line}")) == (1, True)


def test_taken_port_ends_the_process_with_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ended = started(tmp_path, COUPON_PORT=str(port))
    assert ended.returncode == 1
    assert ended.stdout + ended.stderr == f"coupon: COUPON_PORT={port}: Address already in use\n"
