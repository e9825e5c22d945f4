"""The processor's loop: group commit, and the three ways in which a message can end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from chassis.processing import mailbox as mailbox_module
from chassis.processing import processor
from chassis.processing.linger import Linger
from chassis.processing.mailbox import WORTH_A_BATCH, Mailbox
from chassis.processing.messages import Declined, Done, EventMessage, Message, Outcome, Raised
from chassis.processing.processor import ATTEMPTS, Processor
from events.contract import CONTRACT, FailReason, PaymentFailed
from saga import envelope
from saga.errors import NotFound, Outage, RetryLater
from tests.integration.deliveries import Delivered
from tests.kit.client import wait_until

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
Work = Callable[[list[Message]], list[Outcome]]


class Writer:
    """A scripted transaction: records its batches and returns what the test says."""

    def __init__(self) -> None:
        self.batches: list[list[Message]] = []
        self.settled: list[Message] = []
        self.work: Work = lambda batch: [Done(result="done") for _ in batch]
        self.may_go = asyncio.Event()
        self.may_go.set()

    async def transact(self, messages: Sequence[Message]) -> list[Outcome]:
        batch = list(messages)
        self.batches.append(batch)
        await self.may_go.wait()
        return self.work(batch)

    def after_commit(self, done: Sequence[tuple[Message, Done]]) -> None:
        self.settled += [message for message, _ in done]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(processor, "MAX_PAUSE_SECONDS", 0.01)


@pytest.fixture
def writer() -> Writer:
    return Writer()


@asynccontextmanager
async def at_work(
    writer: Writer, *, capacity: int = 100, command_timeout_seconds: float = 5
) -> AsyncIterator[Mailbox]:
    mailbox = Mailbox(capacity=capacity, command_timeout_seconds=command_timeout_seconds)
    task = asyncio.create_task(Processor(mailbox, writer.transact, writer.after_commit).run())
    try:
        yield mailbox
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def outbound() -> envelope.OutboundEvent:
    return envelope.encode(
        PaymentFailed(order_id=str(uuid4()), reason=FailReason.SYSTEM_ERROR), NOW
    )


def event() -> EventMessage:
    return EventMessage(Delivered(outbound()), CONTRACT)


async def test_what_arrives_during_a_commit_is_the_next_batch(writer: Writer) -> None:
    async with at_work(writer) as mailbox:
        writer.may_go.clear()
        first = asyncio.create_task(mailbox.ask("first"))
        await wait_until(_count(writer.batches, 1), "the first batch is being written")
        others = [asyncio.create_task(mailbox.ask(f"other {i}")) for i in range(5)]
        received = event()
        mailbox.put(received)
        await wait_until(_count_waiting(mailbox, 7), "all have arrived")
        writer.may_go.set()
        await asyncio.gather(first, *others)
        await mailbox.drained()
    assert [len(batch) for batch in writer.batches] == [1, 6]
    assert received in writer.settled


class Tired(Linger):
    """It has been very busy."""

    rests_seconds = 0.5

    def linger_seconds(self, now: float) -> float:  # noqa: ARG002 - as the pace itself
        return self.rests_seconds


async def test_what_arrives_during_a_rest_is_one_batch(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailbox_module, "Linger", Tired)
    async with at_work(writer) as mailbox:
        received = [event() for _ in range(3)]
        for each in received:
            mailbox.put(each)
            for _ in range(20):  # turns of the loop: more than a batch needs
                await asyncio.sleep(0)
        assert not writer.batches
        await mailbox.drained()
    assert writer.batches == [received]


async def test_a_crowd_is_not_rested_for(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox_module, "Linger", Tired)
    monkeypatch.setattr(Tired, "rests_seconds", 3600)
    async with at_work(writer) as mailbox:
        for _ in range(WORTH_A_BATCH):
            mailbox.put(event())
        await asyncio.wait_for(mailbox.drained(), 5)
    assert [len(batch) for batch in writer.batches] == [WORTH_A_BATCH]


async def test_a_lone_command_waits_for_nobody(writer: Writer) -> None:
    async with at_work(writer) as mailbox:
        done = await asyncio.wait_for(mailbox.ask("alone"), 1)
    assert done.result == "done"
    assert len(writer.batches) == 1


async def test_a_refusal_is_the_callers_answer(writer: Writer) -> None:
    writer.work = lambda batch: [Declined(NotFound("not here")) for _ in batch]
    async with at_work(writer) as mailbox:
        with pytest.raises(NotFound, match="not here"):
            await mailbox.ask("refused")


async def test_an_outage_is_waited_out_and_nothing_is_lost(writer: Writer) -> None:
    outages = iter([Outage("locked"), Outage("locked"), Outage("disk full")])

    def work(batch: list[Message]) -> list[Outcome]:
        for outage in outages:
            raise outage
        return [Done(result="done") for _ in batch]

    writer.work = work
    async with at_work(writer) as mailbox:
        received = event()
        mailbox.put(received)
        assert (await mailbox.ask("patient")).result == "done"
        await mailbox.drained()
    assert received in writer.settled
    assert received.attempts == 0
    assert received.dead_letter_reason is None


async def test_a_caller_who_has_waited_too_long_is_told_and_left_out(writer: Writer) -> None:
    def locked(batch: list[Message]) -> list[Outcome]:
        raise Outage("locked")

    writer.work = locked
    async with at_work(writer, command_timeout_seconds=0.05) as mailbox:
        received = event()
        mailbox.put(received)
        with pytest.raises(RetryLater, match="same Idempotency-Key"):
            await mailbox.ask("too late")
        writer.work = lambda batch: [Done() for _ in batch]
        await mailbox.drained()
    assert writer.settled == [received]


async def test_a_batch_that_everybody_has_left_is_dropped(writer: Writer) -> None:
    """An error of an empty batch has no caller, and would end the loop."""
    away = asyncio.Event()

    def work(_: list[Message]) -> list[Outcome]:
        away.set()
        raise Outage("locked")

    writer.work = work
    async with at_work(writer, command_timeout_seconds=0.05) as mailbox:
        with pytest.raises(RetryLater):
            await mailbox.ask("too late")
        await asyncio.wait_for(mailbox.drained(), 5)
        assert away.is_set()
        assert all(writer.batches)
        writer.work = lambda batch: [Done(result="done") for _ in batch]
        assert (await mailbox.ask("next")).result == "done"


async def test_a_full_mailbox_refuses_commands_and_takes_events(writer: Writer) -> None:
    async with at_work(writer, capacity=2) as mailbox:
        writer.may_go.clear()
        waiting = [asyncio.create_task(mailbox.ask(i)) for i in range(2)]
        await wait_until(_count_waiting(mailbox, 2), "the mailbox is full")
        with pytest.raises(RetryLater, match="too many"):
            await mailbox.ask("one too many")
        received = event()
        mailbox.put(received)
        writer.may_go.set()
        await asyncio.gather(*waiting)
        await mailbox.drained()
        assert (await mailbox.ask("room again")).result == "done"
    assert received in writer.settled


async def test_an_event_that_keeps_raising_is_tried_alone_and_set_aside(writer: Writer) -> None:
    poison, healthy = event(), event()

    def work(batch: list[Message]) -> list[Outcome]:
        return [
            Raised(RuntimeError("bad"))
            if each is poison and poison.dead_letter_reason is None
            else Done()
            for each in batch
        ]

    writer.work = work
    async with at_work(writer) as mailbox:
        mailbox.put(poison)
        mailbox.put(healthy)
        await mailbox.drained()
    assert writer.batches == [[poison, healthy], *[[poison]] * ATTEMPTS]
    assert poison.dead_letter_reason is not None
    assert (poison.dead_letter_reason.code, poison.dead_letter_reason.error) == (
        "RAISED",
        "RuntimeError: bad",
    )
    assert writer.settled == [healthy, poison]
    assert len(mailbox) == 0


async def test_a_command_that_keeps_raising_is_the_callers_error(writer: Writer) -> None:
    writer.work = lambda batch: [Raised(RuntimeError("a bug")) for _ in batch]
    async with at_work(writer) as mailbox:
        with pytest.raises(RuntimeError, match="a bug"):
            await mailbox.ask("unlucky")
    assert len(writer.batches) == ATTEMPTS


async def test_when_a_whole_batch_fails_each_message_is_tried_alone(writer: Writer) -> None:
    culprit, innocent = event(), event()

    def work(batch: list[Message]) -> list[Outcome]:
        if culprit in batch and culprit.dead_letter_reason is None:
            raise ValueError("a row that the table does not take")
        return [Done() for _ in batch]

    writer.work = work
    async with at_work(writer) as mailbox:
        mailbox.put(culprit)
        mailbox.put(innocent)
        await asyncio.wait_for(mailbox.drained(), 5)
    assert innocent.attempts == 0
    assert innocent.dead_letter_reason is None
    assert culprit.dead_letter_reason is not None
    assert set(writer.settled) == {culprit, innocent}


async def test_a_dead_letter_that_can_not_be_stored_is_kept_until_it_can(writer: Writer) -> None:
    malformed = EventMessage(Delivered(outbound(), body=b"broken"), CONTRACT)
    failures = iter([ValueError("no"), ValueError("no"), ValueError("no"), ValueError("no")])

    def work(batch: list[Message]) -> list[Outcome]:
        for failure in failures:
            raise failure
        return [Done() for _ in batch]

    writer.work = work
    async with at_work(writer) as mailbox:
        mailbox.put(malformed)
        await mailbox.drained()
    assert writer.settled == [malformed]
    assert malformed.dead_letter_reason is not None
    assert malformed.dead_letter_reason.code == "UNREADABLE"


def _count(things: Sequence[object], wanted: int) -> Callable[[], Awaitable[bool]]:
    async def enough() -> bool:
        return len(things) >= wanted

    return enough


def _count_waiting(mailbox: Mailbox, wanted: int) -> Callable[[], Awaitable[bool]]:
    async def enough() -> bool:
        return len(mailbox) >= wanted

    return enough
