"""The supervisor: starting it, and its calls that list, start and stop parts."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import xmlrpc.client
from pathlib import Path
from typing import Any

import msgspec

from infra.stack import config, pids, supervision
from infra.stack.config import ROOT, Stack, StackError
from infra.stack.waiting import wait_until

# A part that is stopped has up to stopwaitsecs (infra/supervisord.conf) to finish its work.
_CALL_TIMEOUT_SECONDS = 40.0

_START_SECONDS = 15.0

_NOT_RUNNING = "The stack is not running. Run: make up"


class Process(msgspec.Struct, frozen=True):
    """One part as the supervisor sees it."""

    name: str
    state: str
    pid: int | None
    started_at_seconds: int
    uptime_seconds: int


class _Connection(http.client.HTTPConnection):
    """HTTP over the supervisor's Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_CALL_TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_CALL_TIMEOUT_SECONDS)
        self.sock.connect(str(self._path))


class _Transport(xmlrpc.client.Transport):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: tuple[str, dict[str, str]] | str) -> http.client.HTTPConnection:
        del host  # there is one supervisor, behind this path
        return _Connection(self._path)


def launch_supervisor(stack: Stack) -> None:
    """Start the supervisor in a session of its own, and return when it answers."""
    output = stack.log("supervisord-start")
    with output.open("w") as file:
        child = subprocess.Popen(
            [sys.executable, "-m", "infra.stack.launch", pids.SUPERVISOR],
            cwd=ROOT,
            env=dict(os.environ, STATE_DIR=str(stack.state_dir)),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    wait_until(lambda: answers(stack) or child.poll() is not None, _START_SECONDS)
    if not answers(stack):
        child.kill()
        raise StackError(f"The supervisor did not start: {output.read_text().strip()[-1000:]}")
    # It outlives this process, which must neither wait for it nor warn about it.
    child.returncode = 0


def answers(stack: Stack) -> bool:
    """True when this stack's supervisor answers calls."""
    try:
        _call(stack, "getState")
    except StackError:
        return False
    return True


def running_stack() -> Stack:
    """The stack that runs on STATE_DIR. Raises StackError when none does."""
    stack = config.recorded(config.state_dir())
    if stack is None or not answers(stack):
        raise StackError(_NOT_RUNNING)
    return stack


def listed(stack: Stack) -> list[Process]:
    """Every part that this stack runs, in the order in which they start."""
    rows = {row["name"]: row for row in _call(stack, "getAllProcessInfo")}
    return [_process(rows[part]) for part in stack.parts if part in rows]


def start(stack: Stack, part: str) -> None:
    """Start the part unless it runs; return when it has run for `startsecs`."""
    if one(stack, part).state in {"RUNNING", "STARTING", "BACKOFF"}:
        return
    _call(stack, "startProcess", supervision.name(part))


def stop(stack: Stack, part: str) -> None:
    """Stop the part after its current work; it stays down until it is started again."""
    if one(stack, part).state in {"STOPPED", "EXITED", "FATAL"}:
        return
    _call(stack, "stopProcess", supervision.name(part))


def kill(stack: Stack, part: str) -> int:
    """Kill the part, as a crash does. Returns the process id that it had."""
    pid = one(stack, part).pid
    if pid is None:
        raise StackError(f"{part} does not run. Start it with: make start SERVICE={part}")
    os.kill(pid, signal.SIGKILL)
    return pid


def shut_down(stack: Stack) -> None:
    """Stop every part, the services first, and then the supervisor."""
    _call(stack, "shutdown")


def one(stack: Stack, part: str) -> Process:
    if part not in stack.parts:
        raise StackError(
            f"This stack has no part {part!r}. It has: {', '.join(stack.parts)}."
            + (" Redis joins it once redis-server is installed." if part == "redis" else "")
        )
    return _process(_call(stack, "getProcessInfo", supervision.name(part)))


def _process(row: dict[str, Any]) -> Process:
    running = bool(row["pid"])
    return Process(
        name=row["name"],
        state=row["statename"],
        pid=row["pid"] or None,
        started_at_seconds=row["start"],
        uptime_seconds=row["now"] - row["start"] if running else 0,
    )


def _call(stack: Stack, method: str, *arguments: str) -> Any:
    proxy = xmlrpc.client.ServerProxy("http://localhost", transport=_Transport(stack.socket))
    try:
        return getattr(proxy.supervisor, method)(*arguments)
    except OSError as error:
        raise StackError(_NOT_RUNNING) from error
    except xmlrpc.client.Fault as fault:
        raise StackError(
            f"The supervisor refused to {method} {' '.join(arguments)}: {fault.faultString}"
        ) from fault
