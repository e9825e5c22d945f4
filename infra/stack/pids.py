"""The parts' process ids, right even after the supervisor died or an id was reused.

Each part's process holds an advisory lock on STATE_DIR/pids/<part> from before its program starts
until it ends, however it ends: the kernel releases it. So the process id in that file is that
part's if and only if the file is locked, and a part can't be started twice on the same state.
"""

import fcntl
import os
import signal
from pathlib import Path

from infra.stack.waiting import wait_until

SUPERVISOR = "supervisord"


class AlreadyRunning(Exception):
    """Another process holds this part's lock."""


def claim(state_dir: Path, part: str, *, deadline_seconds: float = 5.0) -> int:
    """Mark this process, and the program that it becomes by exec, as the part.

    Waits for a predecessor that was just killed. Returns the lock's descriptor. Raises
    AlreadyRunning.
    """
    descriptor = os.open(_file(state_dir, part), os.O_RDWR | os.O_CREAT, 0o600)
    if not wait_until(lambda: _lock(descriptor), deadline_seconds):
        raise AlreadyRunning(f"{part} already runs as process {alive(state_dir, part)}")
    os.ftruncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    os.set_inheritable(descriptor, True)
    return descriptor


def alive(state_dir: Path, part: str) -> int | None:
    """The part's process id, or None when it does not run."""
    try:
        descriptor = os.open(_file(state_dir, part), os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        # A shared lock, so that two readers don't take each other for the part.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.read(descriptor, 32).decode()
        return int(text) if text else None
    else:
        return None
    finally:
        os.close(descriptor)


def all_alive(state_dir: Path) -> dict[str, int]:
    """Every process of the stack that runs, the supervisor's included."""
    names = sorted(file.name for file in (state_dir / "pids").glob("*"))
    found = {name: alive(state_dir, name) for name in names}
    return {name: pid for name, pid in found.items() if pid is not None}


def end(state_dir: Path, part: str, *, timeout_seconds: float) -> None:
    """Terminate the part's process, and kill it when it has not ended within the time-out."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        pid = alive(state_dir, part)
        if pid is None:
            return
        try:
            os.kill(pid, sign)
        except ProcessLookupError:
            return
        if wait_until(lambda: alive(state_dir, part) is None, timeout_seconds):
            return


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _file(state_dir: Path, part: str) -> Path:
    return state_dir / "pids" / part
