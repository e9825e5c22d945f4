"""Starting parts, and waiting until they answer or refuse to start."""

import time

from infra.stack import health, logs, processes
from infra.stack.config import Stack, StackError
from infra.stack.waiting import wait_until

_START_SECONDS = 30.0


class RefusedToStart(StackError):
    """A part's process has ended with a sentence, which is this error's text."""


def start_and_wait(stack: Stack, part: str) -> None:
    """Raises StackError when the part does not answer in time."""
    since = time.time()
    processes.start(stack, part)
    if not wait_until(lambda: _is_alive(stack, part, since), _START_SECONDS):
        raise StackError(f"{part} does not answer. Look at: make logs SERVICE={part}")


def wait_until_ready(stack: Stack, since: float, deadline_seconds: float) -> list[str]:
    """Wait for all parts. Returns those that were still not ready at the deadline.

    `since`: when they were started, in Unix seconds. Raises RefusedToStart as soon as one refuses.
    """
    waiting = list(stack.parts)

    def none_left() -> bool:
        waiting[:] = [part for part in waiting if not health.ready(stack, part)]
        for part in waiting:
            _refuse_refused(stack, part, since)
        return not waiting

    wait_until(none_left, deadline_seconds)
    return waiting


def _refuse_refused(stack: Stack, part: str, since: float) -> None:
    """Raise RefusedToStart when the part's process has ended with a sentence.

    Its log then ends with "order: <why it can't start>". (The supervisor may have started it again
    by now, which shows nothing yet.)
    """
    file = stack.log(part)
    if not file.exists() or file.stat().st_mtime < since:
        return
    last = logs.tail(file, lines=1)
    if last.startswith(f"{part}: "):
        raise RefusedToStart(last)


def _is_alive(stack: Stack, part: str, since: float) -> bool:
    _refuse_refused(stack, part, since)
    return health.alive(stack, part)
