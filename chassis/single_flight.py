"""One call at a time for each key: callers that come meanwhile wait for the same result."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SingleFlight(Generic[K, V]):
    """The calls that are under way, by key. Nothing is kept of one that has ended."""

    def __init__(self) -> None:
        self._calls: dict[K, asyncio.Task[V]] = {}

    def start(self, key: K, call: Callable[[], Coroutine[Any, Any, V]]) -> "asyncio.Task[V]":
        """The call under way for this key, or a new one. Wait for it with `asyncio.shield`.

        It goes on without a caller that waits; then its error is lost.
        """
        task = self._calls.get(key)
        if task is None:
            task = self._calls[key] = asyncio.create_task(call())
            task.add_done_callback(lambda done: self._end(key, done))
        return task

    def forget(self, key: K) -> None:
        """Its result is outdated: the next `start` begins a new call."""
        self._calls.pop(key, None)

    async def close(self) -> None:
        """Cancel the calls that are under way."""
        calls = list(self._calls.values())
        for task in calls:
            task.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    def _end(self, key: K, done: "asyncio.Task[V]") -> None:
        if self._calls.get(key) is done:
            del self._calls[key]
        if not done.cancelled():
            done.exception()  # marks it as retrieved, for there may be no caller that waits
