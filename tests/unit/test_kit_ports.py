"""The ports of tests: no two processes are given the same."""

import subprocess
import sys

from tests.kit.ports import BLOCK_PORTS, FIRST_PORT, free_port
from tests.kit.stack import ROOT


def block(port: int) -> int:
    return (port - FIRST_PORT) // BLOCK_PORTS


def test_each_process_has_its_own_ports() -> None:
    own = block(free_port())
    ask = "from tests.kit.ports import free_port; print(free_port())"
    command = [sys.executable, "-c", ask]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert block(int(done.stdout)) != own


def test_port_is_given_once() -> None:
    assert len({free_port() for _ in range(100)}) == 100
