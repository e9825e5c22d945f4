"""Ports for tests, which no other process of a test run is given.

A part that a test has stopped leaves its port free for a while. So a port without a listener may
still be in use: each process takes a block of its own, as long as it runs.
"""

import fcntl
import socket
import tempfile
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import IO

__all__ = ["free_port"]

BLOCK_COUNT, BLOCK_PORTS = 12, 1_000
FIRST_PORT = 20_000
"""All blocks are below the range that the system uses for outgoing connections."""

_held: list[IO[bytes]] = []
"""The lock of this process's block. The system releases it with the process."""


def free_port() -> int:
    """A port without a listener, each time another one."""
    return next(port for port in _ports if _is_free(port))


def _own_block() -> Iterator[int]:
    """The ports of this process, from the second round on from the first again.

    Raises RuntimeError: more processes run tests on this machine than there are blocks.
    """
    for number in range(BLOCK_COUNT):
        lock = (Path(tempfile.gettempdir()) / f"shop-saga-ports-{number}.lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        _held.append(lock)
        first = FIRST_PORT + number * BLOCK_PORTS
        yield from cycle(range(first, first + BLOCK_PORTS))
    raise RuntimeError(f"{BLOCK_COUNT} other processes run tests on this machine")


_ports = _own_block()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
