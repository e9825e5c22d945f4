"""The writing thread: one after the other, told once, not done when nobody waits any more."""

import asyncio
import threading
from functools import partial

import pytest

from chassis.storage.writer import WritingThread


async def test_work_is_done_in_turn_in_one_other_thread() -> None:
    writer, done = WritingThread(), list[int]()

    def work(number: int) -> int:
        done.append(number)
        return threading.get_ident()

    threads = await asyncio.gather(*(writer.run(partial(work, number)) for number in range(50)))
    assert done == list(range(50))
    assert len(set(threads)) == 1
    assert threads[0] != threading.get_ident()
    await writer.close(lambda: done.append(50))
    assert done[-1] == 50


async def test_who_asked_is_told_what_was_raised_and_the_thread_goes_on() -> None:
    writer = WritingThread()

    def fail() -> None:
        raise ZeroDivisionError("of the work")

    for _ in range(2):
        with pytest.raises(ZeroDivisionError, match="of the work"):
            await writer.run(fail)
    assert await writer.run(lambda: 1) == 1
    await writer.close(fail_not)


async def test_work_that_nobody_waits_for_any_more_is_not_begun() -> None:
    writer, done = WritingThread(), list[str]()
    may_go_on = threading.Event()

    def begin() -> None:
        may_go_on.wait()
        done.append("begun")

    begun = asyncio.create_task(writer.run(begin))
    waiting = asyncio.create_task(writer.run(lambda: done.append("waiting")))
    await asyncio.sleep(0)  # both stand in the queue
    for each in (begun, waiting):
        each.cancel()
    await asyncio.wait([begun, waiting])
    may_go_on.set()
    await writer.close(lambda: done.append("last"))
    assert done in (["begun", "last"], ["last"])  # begun, if the thread was there before us


async def test_a_loop_that_has_ended_meanwhile_is_not_told() -> None:
    writer, told = WritingThread(), list[object]()
    finish = threading.Event()

    def other_loop() -> None:
        async def ask_and_leave() -> None:
            asking = asyncio.create_task(writer.run(finish.wait))
            await asyncio.sleep(0)
            assert not asking.done()

        loop = asyncio.new_event_loop()
        loop.run_until_complete(ask_and_leave())
        loop.close()

    threading.excepthook, before = told.append, threading.excepthook
    try:
        await asyncio.to_thread(other_loop)
        finish.set()
        await writer.close(fail_not)
    finally:
        threading.excepthook = before
    assert told == []


def fail_not() -> None: ...
