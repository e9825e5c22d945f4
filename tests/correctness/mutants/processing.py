"""Mistakes in the loop of a participant: from a message to its commit and acknowledgement."""

from tests.correctness.mutants.mutant import SCHEDULES, Drop, Mutant, Replace, Skip, tests

BATCH = tests("tests/integration/test_batch.py")
PROCESSOR = tests("tests/integration/test_processor.py")
DEAD_LETTERS = tests("tests/integration/test_dead_letters.py")
SERVICE = tests("tests/integration/test_service.py")

MUTANTS = (
    Mutant(
        "no inbox row",
        "chassis.processing.batch",
        "Batch._save_own",
        Drop("self._received"),
        BATCH,
    ),
    Mutant(
        "a message that raises leaves what it had changed",
        "chassis.processing.batch",
        "Batch._roll_back",
        Replace("self.uow.roll_back", "self.uow.release"),
        BATCH,
    ),
    Mutant(
        "a dead letter is acknowledged and not stored",
        "chassis.processing.batch",
        "Batch._save_own",
        Drop("dead_letters.store"),
        BATCH,
    ),
    Mutant(
        "an Idempotency-Key answers any request",
        "chassis.processing.batch",
        "Batch._replay",
        Drop("raise KeyReused"),
        BATCH,
    ),
    Mutant(
        "a dead letter counts as redriven although the code raised again",
        "chassis.processing.batch",
        "Batch._save_own",
        Replace(
            "if self._redriven:",
            "self._redriven = [\n"
            "    m.delivery.letter_id\n"
            "    for m in messages\n"
            "    if isinstance(m, EventMessage) and m.delivery.letter_id is not None\n"
            "]\n"
            "if self._redriven:",
        ),
        BATCH,
    ),
    Mutant(
        "a dead letter that an operator dismissed meanwhile is handled",
        "chassis.processing.batch",
        "Batch._react",
        Replace("letter_id not in self._redrivable", "False"),
        DEAD_LETTERS,
    ),
    Mutant(
        "a redrive that fails changes a dead letter that is done",
        "chassis.processing.dead_letters",
        "_attempted",
        Replace("dead_letters.c.id == letter_id, _not_done", "dead_letters.c.id == letter_id"),
        DEAD_LETTERS,
    ),
    Mutant(
        "a redrive that fails again passes for a new message",
        "chassis.processing.dead_letters",
        "store",
        Replace("[m for m in dead_lettered if m.delivery.letter_id is None]", "dead_lettered"),
        DEAD_LETTERS,
    ),
    Mutant(
        "a redrive answers before its outcome is known",
        "chassis.processing.redriving",
        "Redriving.redrive",
        Drop("is_settled.wait"),
        DEAD_LETTERS,
    ),
    Mutant(
        "a preview writes what it shows",
        "chassis.processing.preview",
        "rehearse",
        Replace(
            "changes = [",
            "uow.release()\nparticipant.save(connection, uow)\nchanges = [",
        ),
        DEAD_LETTERS,
    ),
    Mutant(
        "the acknowledgement before the commit",
        "chassis.parts",
        "Parts.receive",
        Replace("self.mailbox.put(message)", "delivery.ack()\nself.mailbox.put(message)"),
        SERVICE,
    ),
    Mutant(
        "the loop acknowledges a batch before it commits it",
        "chassis.processing.processor",
        "Processor._process",
        Replace(
            "outcomes = await self._commit(batch)",
            "self._after_commit([(each, Done()) for each in batch])\n"
            "outcomes = await self._commit(batch)",
        ),
        PROCESSOR,
    ),
    Mutant(
        "no acknowledgement at all",
        "chassis.processing.after_commit",
        "AfterCommit.__call__",
        Drop("delivery.ack"),
        SCHEDULES,
    ),
    Mutant(
        "the event is published before the commit",
        "chassis.processing.transaction",
        "Transaction.__call__.work",
        Replace(
            "return batch.run(connection, messages)",
            "outcomes = batch.run(connection, messages)\n"
            "self._relay.offer(batch._emitted)\n"
            "return outcomes",
        ),
        SCHEDULES,
    ),
    Mutant(
        "a retransmission is not answered",
        "chassis.processing.after_commit",
        "AfterCommit.__call__",
        Drop("answer_later"),
        tests(
            "tests/e2e/saga/test_retransmission.py::"
            "test_lost_event_is_retransmitted[StockDecremented-PaymentCompleted-without3]"
        ),
    ),
    Mutant(
        "a message that raised is forgotten",
        "chassis.processing.processor",
        "Processor.run",
        Drop("self._isolate"),
        PROCESSOR,
    ),
    Mutant(
        "messages of a failed batch are not isolated",
        "chassis.processing.processor",
        "Processor.run",
        Replace(
            "for message in raised: await self._isolate(message)",
            "await self._process(raised)",
        ),
        PROCESSOR,
    ),
    Mutant(
        "each message of a failed batch is blamed for it",
        "chassis.processing.processor",
        "Processor._resolve",
        Replace("not outcome.is_blamed or", ""),
        PROCESSOR,
    ),
    Mutant(
        "an outage counts as an attempt",
        "chassis.processing.processor",
        "Processor._commit",
        Replace("except Outage", "except ZeroDivisionError"),
        PROCESSOR,
    ),
    Mutant(
        "a dead letter that can't be stored loses its reason",
        "chassis.processing.processor",
        "_is_dead_letter",
        Skip("False"),
        PROCESSOR,
    ),
    Mutant(
        "a batch whose callers have all left is committed all the same",
        "chassis.processing.processor",
        "Processor._commit",
        Replace("while batch:", "while True:"),
        PROCESSOR,
    ),
    Mutant(
        "a command is executed although its caller was told to retry",
        "chassis.processing.mailbox",
        "still_wanted",
        Skip("messages"),
        PROCESSOR,
    ),
    Mutant(
        "any number of commands may wait",
        "chassis.processing.mailbox",
        "Mailbox._ask",
        Drop("self._commands >= self._capacity"),
        PROCESSOR,
    ),
    Mutant(
        "a service stops before its last batch is committed",
        "chassis.processing.mailbox",
        "Mailbox.take",
        Replace("self._linger.batch_began(now())", "self._idle.set()"),
        PROCESSOR,
    ),
    Mutant(
        "a batch that takes long is delivered to another instance meanwhile",
        "chassis.processing.ack_extension",
        "AckExtension.run",
        Drop("in_progress"),
        tests("tests/unit/test_ack_extension.py"),
    ),
    Mutant(
        "events of a saga that is under way are removed after the retention time",
        "chassis.processing.retention",
        "Retention._remove_some",
        Replace("& outbox.c.key.not_in(unsettled)", ""),
        tests("tests/integration/test_retention.py"),
    ),
    Mutant(
        "events of a stream that keeps the newest alone are removed after the retention time",
        "chassis.processing.retention",
        "Retention._remove_some",
        Replace("& outbox.c.stream.in_(self._kept_by_saga)", ""),
        tests("tests/integration/test_retention.py"),
    ),
    Mutant(
        "a service that was away for long lingers for long",
        "chassis.processing.linger",
        "Linger.batch_ended",
        Replace("min(due_at, now + MAX_LINGER_SECONDS)", "due_at"),
        tests("tests/unit/test_linger.py"),
    ),
)
