"""The writer's thread: one transaction after the other, and none for a cancelled caller."""

import asyncio
import threading
from collections.abc import AsyncIterator
from functools import partial

import pytest
from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import StaticPool

from chassis.storage.writer import Writer


@pytest.fixture
async def writer() -> AsyncIterator[Writer]:
    """A writer without a lock, as for PostgreSQL: every transaction runs in the thread."""
    engine = create_engine(
        "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
    )
    writer = Writer(engine, None)
    yield writer
    await writer.close()


async def test_transactions_run_in_turn_in_one_other_thread(writer: Writer) -> None:
    done = list[int]()

    def work(number: int, _: Connection) -> int:
        done.append(number)
        return threading.get_ident()

    threads = await asyncio.gather(*(writer.run(partial(work, n)) for n in range(50)))

    assert done == list(range(50))
    assert len(set(threads)) == 1
    assert threads[0] != threading.get_ident()


async def test_caller_gets_the_exception_and_the_thread_goes_on(writer: Writer) -> None:
    def fail(_: Connection) -> None:
        raise ZeroDivisionError("of the work")

    for _ in range(2):
        with pytest.raises(ZeroDivisionError, match="of the work"):
            await writer.run(fail)
    assert await writer.run(lambda _: 1) == 1


async def test_work_of_a_cancelled_caller_does_not_begin(writer: Writer) -> None:
    done = list[str]()
    has_begun, may_end = threading.Event(), threading.Event()

    def begin(_: Connection) -> None:
        has_begun.set()
        may_end.wait()
        done.append("begun")

    begun = asyncio.create_task(writer.run(begin))
    waiting = asyncio.create_task(writer.run(lambda _: done.append("waiting")))
    await asyncio.to_thread(has_begun.wait)
    for each in (begun, waiting):
        each.cancel()
    await asyncio.wait([begun, waiting])
    may_end.set()
    await writer.run(lambda _: done.append("last"))

    assert done == ["begun", "last"]


class FreeLock:
    """A lock that is free for a caller that only tries; one that waits for it has to wait."""

    def __init__(self) -> None:
        self.may_acquire = threading.Event()

    def acquire(self) -> None:
        self.may_acquire.wait()

    def try_acquire(self) -> bool:
        return True

    def release(self) -> None:
        """It is free all the time."""

    def close(self) -> None:
        """It holds nothing open."""


async def test_small_transaction_does_not_overtake_what_waits_for_the_thread() -> None:
    engine = create_engine(
        "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
    )
    lock, done = FreeLock(), list[str]()
    writer = Writer(engine, lock)
    lock.may_acquire.set()
    await writer.run(lambda _: None)  # the next one may run on the event loop
    lock.may_acquire.clear()

    first = asyncio.create_task(writer.run(lambda _: done.append("first")))
    second = asyncio.create_task(writer.run(lambda _: done.append("second"), messages=1))
    for _ in range(20):  # turns of the loop: more than it would take to overtake
        await asyncio.sleep(0)
    lock.may_acquire.set()
    await asyncio.gather(first, second)
    await writer.close()

    assert done == ["first", "second"]
