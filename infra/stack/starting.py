"""Starting parts, and waiting until they answer or refuse to start."""

from infra.stack import health, logs, processes
from infra.stack.config import Stack, StackError
from infra.stack.waiting import wait_until

_START_SECONDS = 30.0


class RefusedToStart(StackError):
    """A part's process has ended with a sentence, which is this error's text."""


def start_and_wait(stack: Stack, part: str) -> None:
    """Raises StackError when the part does not answer in time."""
    processes.start(stack, part)
    if not wait_until(lambda: _is_alive(stack, part), _START_SECONDS):
        raise StackError(f"{part} does not answer. Look at: make logs SERVICE={part}")


def wait_until_ready(stack: Stack, deadline_seconds: float) -> list[str]:
    """Wait for all parts. Returns those that were still not ready at the deadline.

    Raises RefusedToStart as soon as one refuses to start.
    """
    waiting = list(stack.parts)

    def none_left() -> bool:
        waiting[:] = [part for part in waiting if not health.ready(stack, part)]
        for part in waiting:
            refuse_refused(stack, part)
        return not waiting

    wait_until(none_left, deadline_seconds)
    return waiting


def refuse_refused(stack: Stack, part: str) -> None:
    """Raise RefusedToStart when the part's process has ended with a sentence.

    Its log then ends with "order: <why it can't start>".
    """
    if processes.one(stack, part).pid is None:
        last = logs.tail(stack.log(part), lines=1)
        if last.startswith(f"{part}: "):
            raise RefusedToStart(last)


def _is_alive(stack: Stack, part: str) -> bool:
    refuse_refused(stack, part)
    return health.alive(stack, part)
