"""Restarts a server of the broker that refuses to write although its disk has room again.

After a write error nats-server stores nothing in that stream until it is restarted. Its health
check names the error. The supervisor runs this as an event listener, which it calls every five
seconds (infra/stack/supervision.py).
"""

import shutil
import sys
from pathlib import Path

from supervisor import childutils

from infra.stack import config, folder, health, processes
from infra.stack.config import Stack, StackError

ROOM_BYTES = 32 * 1024 * 1024
"""With less it would soon be full again."""

_WRITE_ERRORS = ("write error", "no space left on device", "JetStream not enabled")


def main() -> None:
    stack = config.recorded(config.state_dir())
    while stack is not None:
        childutils.listener.wait(sys.stdin, sys.stdout)
        for part in stack.brokers:
            heal(stack, part)
        childutils.listener.ok(sys.stdout)


def heal(stack: Stack, part: str) -> None:
    """Restart this server if it stores nothing, and may again."""
    problem = health.problem_of_broker(stack, part)
    if not any(each in problem for each in _WRITE_ERRORS):
        return
    if shutil.disk_usage(_existing(folder.broker_store(stack, part))).free < ROOM_BYTES:
        return
    _report(f"{part} stores nothing ({problem}), and its disk has room: restarting it")
    try:
        processes.stop(stack, part)
        processes.start(stack, part)
    except StackError as error:
        _report(f"{part} can't be restarted now: {error}")


def _existing(path: Path) -> Path:
    return path if path.exists() else _existing(path.parent)


def _report(line: str) -> None:
    """On stderr, which is its log: stdout belongs to the supervisor's protocol."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
