"""STATE_DIR: creating, locking and emptying it."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from infra.stack import config
from infra.stack.config import MARKER, SERVICES, Stack, StackError

_SUBFOLDERS = ("cluster", "db", "gateway", "logs", "nats", "pids", "platform", "redis", "seeded")
# Created by a service that was started by hand before any `make up`.
_OURS_WITHOUT_MARKER = {*_SUBFOLDERS, MARKER}


def prepare(stack: Stack) -> None:
    """Make the folders. The caller holds `exclusive`, so STATE_DIR is the stack's own."""
    for name in _SUBFOLDERS:
        (stack.state_dir / name).mkdir(exist_ok=True, mode=0o700)
    if stack.socket.parent != stack.state_dir:
        stack.socket.parent.mkdir(mode=0o700, exist_ok=False)


def mark_seeded(stack: Stack) -> None:
    """Note that every service has a database with data: it is missed when it is gone."""
    for service in SERVICES:
        marker = config.seeded_marker(stack, service)
        marker.parent.mkdir(exist_ok=True, mode=0o700)
        marker.touch()


def broker_store(stack: Stack, broker: str) -> Path:
    """Where a server of the broker keeps its streams.

    A server that joins a cluster deletes what it stored alone, so that has another folder.
    """
    return stack.state_dir / ("cluster" if stack.cluster > 1 else "") / broker


def refuse_foreign(state_dir: Path) -> None:
    """Raise StackError for a folder with other files in it: it is neither used nor emptied."""
    if not state_dir.exists() or (state_dir / MARKER).exists():
        return
    if any(entry.name not in _OURS_WITHOUT_MARKER for entry in state_dir.iterdir()):
        raise StackError(
            f"{state_dir} holds files that are not the stack's. "
            "Set STATE_DIR to an empty or a new folder."
        )


def empty(state_dir: Path, *kept: str) -> None:
    """Delete all state but these entries, in a folder that the stack created. The marker stays."""
    refuse_foreign(state_dir)
    for entry in state_dir.iterdir():
        if entry.name in (MARKER, *kept):
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


@contextlib.contextmanager
def exclusive(state_dir: Path) -> Iterator[None]:
    """Lock the folder for one `up`, `down` or `reset`. A second one raises StackError at once."""
    refuse_foreign(state_dir)
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    (state_dir / MARKER).touch()
    descriptor = os.open(state_dir / MARKER, os.O_RDWR)
    try:
        _lock(descriptor, state_dir)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, state_dir: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise StackError(
            f"Another `make up`, `down` or `reset` is working on {state_dir}. Wait for it to end."
        ) from error
