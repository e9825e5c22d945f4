"""A deterministic event loop: virtual time, one thread, and processes that can be killed anywhere.

Nothing ever waits: when nothing is ready, time jumps to the next timer. All that happens follows
from the seed.

A simulated process is what its tasks have in common: a context variable. To kill it is to forget
every step that it would still take. No `finally` runs, no callback, no answer: as after a kill -9.
"""

import asyncio
from asyncio import events
from collections import Counter
from collections.abc import Callable
from contextvars import Context, ContextVar
from types import CoroutineType, FrameType
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
    """Nothing is ready and nothing is due: whoever waits, waits for ever."""


class SimulatedLoop(asyncio.BaseEventLoop):
    """asyncio's own loop without a selector."""

    def __init__(self) -> None:
        super().__init__()
        self._now_seconds = 0.0
        self._selector = self
        self.steps = 0
        self.is_done = False
        self.set_exception_handler(lambda *_: None)

    def time(self) -> float:
        return self._now_seconds

    def select(self, timeout: float | None) -> list[Any]:
        """Where a real loop waits, this one lets the time pass."""
        if timeout is None:
            raise Endless
        self._now_seconds += timeout
        return []

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

    def kill(self, life: Life) -> None:
        """Forget every step that this life would still take."""
        life.is_over = True
        for handle in (*self._ready, *self._scheduled):  # type: ignore[attr-defined]
            if handle._context is not None and handle._context.get(LIFE) is life:
                handle.cancel()

    def _process_events(self, _: list[Any]) -> None:
        """There are none: nobody talks to the outside."""

    def _write_to_self(self) -> None:
        """There is no other thread that would have to wake this one."""


def _is_over(context: Context | None) -> bool:
    life = LIFE.get() if context is None else context.get(LIFE)
    return life is not None and life.is_over


def _nothing() -> None:
    """What a dead process does."""


def waiting_at(life: Life) -> Counter[str]:
    """Where in our own code the tasks of a process stand: each await at which a kill meets them."""
    return Counter(
        place for task in life.tasks if not task.done() and (place := _place(task.get_coro()))
    )


def _place(coroutine: Any) -> str | None:
    """The innermost await of production code, as file:line."""
    place = None
    while isinstance(coroutine, CoroutineType):
        frame: FrameType | None = coroutine.cr_frame
        if frame is not None and "/tests/" not in frame.f_code.co_filename:
            file = "/".join(frame.f_code.co_filename.rsplit("/", 2)[-2:])
            if file.split("/")[0] in _OURS:
                place = f"{file}:{frame.f_lineno} {frame.f_code.co_qualname}"
        coroutine = coroutine.cr_await
    return place


_OURS = ("infra", "order", "product", "coupon", "payment")
