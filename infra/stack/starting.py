"""Starting one part, and waiting until it answers."""

from infra.stack import health, processes
from infra.stack.config import Stack, StackError
from infra.stack.waiting import wait_until

_START_SECONDS = 30.0


def start_and_wait(stack: Stack, part: str) -> None:
    """Raises StackError when the part does not answer in time."""
    processes.start(stack, part)
    if not wait_until(lambda: health.alive(stack, part), _START_SECONDS):
        raise StackError(f"{part} does not answer. Look at: make logs SERVICE={part}")
