"""One load: which orders were sent and accepted, and how and when each one ended."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable

from rich.progress import Progress


class Run:
    """Orders sent, accepted and ended. Times are of one monotonic clock, in seconds.

    An order's end may arrive before the response to its POST: the order's id matches them.
    """

    def __init__(self, progress: Progress, orders: int) -> None:
        self.sent_at: dict[str, float] = {}
        self.ended_at: dict[str, float] = {}
        self.ends: dict[str, str] = {}
        self.refused = Counter[str]()
        self.post_seconds: list[float] = []
        self.first_sent_at = self.last_answer_at = time.perf_counter()
        self._left = orders
        self._matched = 0
        self._all_ended = asyncio.Event()
        self._progress = progress
        self._task = progress.add_task("orders ended", total=orders)

    def accept(self, order_id: str, sent_at: float) -> None:
        self.sent_at[order_id] = sent_at
        self._answered(sent_at)
        if order_id in self.ends:
            self._match()

    def refuse(self, why: str) -> None:
        self.refused[why] += 1
        self._answered(None)

    def ended(self, order_id: str, end: str) -> None:
        """The end of any order on this stack; only those of this run are matched."""
        if order_id not in self.ends:
            self.ends[order_id] = end
            self.ended_at[order_id] = time.perf_counter()
            if order_id in self.sent_at:
                self._match()

    async def all_ended(self, timeout_seconds: float) -> None:
        """Wait for the last end, or for the time-out."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._all_ended.wait()
        except TimeoutError:
            return

    async def ask(self, status_of: Callable[[str], Awaitable[str | None]]) -> None:
        """Ask for the orders whose end has not arrived: its event may have been missed.

        `status_of` returns how an order has ended, None while it has not.
        """
        for order_id in self.not_ended:
            if end := await status_of(order_id):
                self.ended(order_id, end)

    @property
    def not_ended(self) -> list[str]:
        return [order_id for order_id in self.sent_at if order_id not in self.ends]

    def _answered(self, sent_at: float | None) -> None:
        self._left -= 1
        self.last_answer_at = time.perf_counter()
        if sent_at is not None:
            self.post_seconds.append(self.last_answer_at - sent_at)
        else:
            self._progress.update(self._task, total=len(self.sent_at) + self._left)
        self._check()

    def _match(self) -> None:
        self._matched += 1
        self._progress.update(self._task, completed=self._matched)
        self._check()

    def _check(self) -> None:
        if not self._left and self._matched == len(self.sent_at):
            self._all_ended.set()
