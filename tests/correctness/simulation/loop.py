"""A deterministic event loop: virtual time, one thread, and processes that can be killed anywhere.

Nothing ever waits: when nothing is ready, time jumps to the next timer. All that happens follows
from the seed.

A simulated process is what its tasks have in common: a context variable. To kill it is to forget
every step that it would still take. No `finally` runs, no callback, no answer: as after a kill -9.
"""

import asyncio
from asyncio import events
from collections.abc import Callable
from contextvars import Context, ContextVar
from heapq import heappop
from typing import Any


class Killed(BaseException):
    """Raised in the middle of a step of a process that is killed there."""


class Life:
    """One life of a simulated process, from a start to a kill."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_over = False
        self.tasks: list[asyncio.Task[Any]] = []

    def spend(self) -> None:
        """Raises Killed when it is over."""
        if self.is_over:
            raise Killed(self.name)


LIFE: ContextVar[Life | None] = ContextVar("LIFE", default=None)


class Endless(RuntimeError):
    """Nothing is ready and nothing is due: the tasks would wait for ever."""


class Aim:
    """Kills a process at one of its next steps: that is how every await is met, however short."""

    def __init__(self, life: Life, steps: int, kill: Callable[[], None]) -> None:
        self._life = life
        self._steps = steps
        self._kill = kill

    def shoot(self, step: events.Handle) -> None:
        context: Context | None = step._context  # type: ignore[attr-defined]
        if context is None or context.get(LIFE) is not self._life:
            return
        self._steps -= 1
        if self._steps == 0:
            self._kill()


class SimulatedLoop(asyncio.BaseEventLoop):
    """asyncio's own loop without a selector."""

    def __init__(self) -> None:
        super().__init__()
        self._now_seconds = 0.0
        self.steps = 0
        self.is_done = False
        self.aim: Aim | None = None
        self.set_exception_handler(lambda *_: None)

    def time(self) -> float:
        return self._now_seconds

    def call_soon(  # type: ignore[override]  # of any arguments, as at run time
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> events.Handle:
        if self.is_done or _is_over(context):
            return events.Handle(_nothing, (), self)
        self.steps += 1
        return super().call_soon(callback, *args, context=context)

    def call_at(  # type: ignore[override]  # likewise
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> events.TimerHandle:
        if self.is_done or _is_over(context):
            return events.TimerHandle(when, _nothing, (), self)
        return super().call_at(when, callback, *args, context=context)

    def _run_once(self) -> None:
        """A round of asyncio's: all that is ready. Where a real loop waits, the time passes."""
        ready, scheduled = self._ready, self._scheduled  # type: ignore[attr-defined]
        while scheduled and scheduled[0]._cancelled:
            heappop(scheduled)._scheduled = False
        if not ready:
            if not scheduled:
                raise Endless
            self._now_seconds = max(self._now_seconds, scheduled[0]._when)
        while scheduled and scheduled[0]._when <= self._now_seconds:
            due = heappop(scheduled)
            due._scheduled = False
            ready.append(due)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if self.aim is not None and not handle._cancelled:
                self.aim.shoot(handle)
            if not handle._cancelled:
                handle._run()

    def kill(self, life: Life) -> None:
        """Forget every step that this life would still take."""
        life.is_over = True
        for handle in (*self._ready, *self._scheduled):  # type: ignore[attr-defined]
            if handle._context is not None and handle._context.get(LIFE) is life:
                handle.cancel()

    def _process_events(self, _: list[Any]) -> None:
        """There are none: there is no selector."""

    def _write_to_self(self) -> None:
        """There is no other thread that could wait for this one."""


def _is_over(context: Context | None) -> bool:
    life = LIFE.get() if context is None else context.get(LIFE)
    return life is not None and life.is_over


def _nothing() -> None:
    """What a killed process does."""
