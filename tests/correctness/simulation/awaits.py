"""The awaits of the production code that runs in the simulation, and those at which it was killed.

A process that is killed stands at one await in each of its tasks, and at all those that wait for
it in turn. The list is read from the source, so an await that is never met is in it too.
"""

import ast
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import CoroutineType, FrameType
from typing import Any, TypeGuard

import saga
from tests.correctness.simulation.loop import Life

_ROOT = Path(saga.__file__).parent.parent
_FOLDERS = ("chassis/processing", "chassis/outbox", "chassis/recovery")
SIMULATED = (
    *(f"{folder}/{file.name}" for folder in _FOLDERS for file in (_ROOT / folder).glob("*.py")),
    "chassis/components.py",
    "chassis/loops.py",
    "chassis/parts.py",
    "chassis/service.py",
)
"""The chassis, without its edges: HTTP and drivers are real in `make chaos`, and replaced here."""

NEVER_MET = {
    "Retention.run": "is first due after a minute",
    "Relay._publish: asyncio.TaskGroup()": "is left only when the service stops",
    "Components.start": "the services run without components",
    "Components.close": "likewise",
    "Service.start: self.components.start(self)": "likewise",
    "Service.stop: self.components.close()": "likewise",
    "Redriving.redrive: self._find(letter_id)": "a read, done at once in memory",
    "Redriving._find": "likewise",
    "Redriving.dismiss": "is for the operators' route",
    "Redriving.preview": "likewise",
    "count_not_done": "is for the metrics",
    "watch: timer.find(connection, clock(), settings)": "likewise",
    "ExternalCalls.close: asyncio.gather(*under_way, return_exceptions=True)": "ends at once",
    "backlog": "is for the health check",
    "find": "likewise a read, of a dead letter",
    "page": "is for the operators' list of dead letters",
    "last_recovery": "is for the operators' report of a recovery",
    "listed": "likewise",
    "NoExternalSystem.__call__": "raises at once",
}
"""Awaits at which nothing can be killed in a schedule, and why."""


def all_awaits() -> list[str]:
    """Every await of the simulated modules, as `file:line function`."""
    return sorted({place for file in SIMULATED for place in _places(file).values()})


def waiting_at(life: Life) -> Counter[str]:
    """Where the tasks of a process stand."""
    return Counter(
        place for task in life.tasks if not task.done() for place in _chain(task.get_coro())
    )


def _chain(coroutine: Any) -> Iterator[str]:
    while isinstance(coroutine, CoroutineType):
        frame: FrameType | None = coroutine.cr_frame
        if frame is not None and (file := _simulated(frame.f_code.co_filename)):
            place = _places(file).get(frame.f_lineno)
            if place is not None:
                yield place
        coroutine = coroutine.cr_await


@cache
def _simulated(file: str) -> str | None:
    name = file.removeprefix(f"{_ROOT}/")
    return name if name in SIMULATED else None


@cache
def _places(file: str) -> dict[int, str]:
    """The await that a line belongs to."""
    found: dict[int, str] = {}
    tree = ast.parse((_ROOT / file).read_text())
    for name, function in _functions(tree):
        for node in sorted(filter(_waits, _own(function)), key=lambda each: each.lineno):
            if name in NEVER_MET or f"{name}: {_awaited(node)}" in NEVER_MET:
                continue
            last = node.body[0].lineno - 1 if isinstance(node, _BLOCKS) else node.end_lineno
            for line in range(node.lineno, (last or node.lineno) + 1):
                found[line] = f"{file}:{node.lineno} {name}"
    return found


def _waits(node: ast.AST) -> TypeGuard[ast.Await | ast.AsyncWith | ast.AsyncFor]:
    """A deadline is an `async with` too, but neither waits to begin nor to end."""
    return isinstance(node, _WAITS) and not _awaited(node).startswith("asyncio.timeout(")


def _awaited(node: ast.Await | ast.AsyncWith | ast.AsyncFor) -> str:
    if isinstance(node, ast.Await):
        return ast.unparse(node.value)
    return ast.unparse(node.iter if isinstance(node, ast.AsyncFor) else node.items[0].context_expr)


_BLOCKS = (ast.AsyncWith, ast.AsyncFor)
_WAITS = (ast.Await, *_BLOCKS)


def _functions(tree: ast.AST, owner: str = "") -> Iterator[tuple[str, ast.AsyncFunctionDef]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield from _functions(node, f"{owner}{node.name}.")
        elif isinstance(node, ast.AsyncFunctionDef):
            yield f"{owner}{node.name}", node
            yield from _functions(node, f"{owner}{node.name}.")


def _own(function: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function, without those of the functions within it."""
    for node in ast.iter_child_nodes(function):
        if not isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef | ast.Lambda):
            yield node
            yield from _own(node)
