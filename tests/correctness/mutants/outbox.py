"""Mistakes in publishing: envelope, relay, reconciliation and retransmission."""

from tests.correctness.mutants.mutant import SCHEDULES, Drop, Mutant, Replace, Skip, tests

WIRE = tests("tests/unit/test_envelope.py")
RELAY = tests("tests/integration/test_relay.py")
RECONCILIATION = tests("tests/integration/test_reconciliation.py")

MUTANTS = (
    Mutant(
        "an event's id is random",
        "saga.envelope",
        "id_of",
        Skip('__import__("uuid").uuid4().hex'),
        WIRE,
    ),
    Mutant(
        "the broker drops a retransmission as a duplicate",
        "saga.envelope",
        "_message_id",
        Skip("outbound.event_id"),
        WIRE,
    ),
    Mutant(
        "the sweep takes what another instance is publishing",
        "chassis.outbox.relay",
        "_unclaimed",
        Replace('outbox.c.claimed_until <= bindparam("now")', "True"),
        RELAY,
    ),
    Mutant(
        "an event that the broker did not acknowledge counts as published",
        "chassis.outbox.relay",
        "Relay._send",
        Replace("if sequence is not None", "if True"),
        SCHEDULES,
    ),
    Mutant(
        "what was acknowledged on a lost connection is marked all the same",
        "chassis.outbox.relay",
        "Relay.acknowledgements",
        Replace("taken.connection == self._connection", "True"),
        RELAY,
    ),
    Mutant(
        "personal data stays in memory while the connection is lost",
        "chassis.outbox.relay",
        "Relay.forget_acknowledgements",
        Replace("each.stream not in self._personal", "True"),
        RECONCILIATION,
    ),
    Mutant(
        "what was being marked when the connection was lost stays marked",
        "chassis.outbox.relay",
        "Relay.forget_acknowledgements",
        Drop("_unmark"),
        RELAY,
    ),
    Mutant(
        "a restarted instance leaves the rows that it had claimed",
        "chassis.outbox.relay",
        "Relay.forget_claims",
        Skip(),
        RELAY,
    ),
    Mutant(
        "a lost broker store is not noticed",
        "chassis.outbox.reconciliation",
        "Reconciler._are_stored",
        Replace("== row.event_id", "or True"),
        RECONCILIATION,
    ),
    Mutant(
        "one event that has its old sequence by chance passes for the whole stream",
        "chassis.outbox.reconciliation",
        "Reconciler._are_probes_stored",
        Replace("PROBES if is_new_connection or not earlier else 1", "1 if earlier else PROBES"),
        RECONCILIATION,
    ),
    Mutant(
        "whatever is below a stream's first sequence passes for expired",
        "chassis.outbox.deletions",
        "Deletions._unpublish_first",
        Skip("0"),
        RECONCILIATION,
    ),
    Mutant(
        "expired messages are published again",
        "chassis.outbox.deletions",
        "Deletions._expired_before",
        Skip("datetime.min.replace(tzinfo=UTC)"),
        RECONCILIATION,
    ),
    Mutant(
        "gaps in a stream are looked at only when their number has changed",
        "chassis.outbox.deletions",
        "Deletions.unpublish",
        Replace("is_thorough or state.gaps != seen.state.gaps", "state.gaps != seen.state.gaps"),
        RECONCILIATION,
    ),
    Mutant(
        "a gap is looked up once, although a row may get its sequence later",
        "chassis.outbox.deletions",
        "Deletions.unpublish",
        Replace("gaps if is_thorough else gaps - seen.gaps", "gaps - seen.gaps"),
        RECONCILIATION,
    ),
    Mutant(
        "a row that was marked after another instance's check of the streams counts as stored",
        "chassis.outbox.relay",
        "Relay.forget_acknowledgements",
        Replace("self._uncertain += self.marked", "pass"),
        RECONCILIATION,
    ),
    Mutant(
        "a stream of newest messages that lost some is not noticed once it has grown again",
        "chassis.outbox.deletions",
        "Deletions.are_newest_missing",
        Replace("has_fewer or is_thorough", "has_fewer"),
        RECONCILIATION,
    ),
    Mutant(
        "a duplicate counts as stored although its message was deleted",
        "chassis.broker.publisher",
        "Publisher._missing",
        Replace("held != message.headers.get(EVENT_ID)", "False"),
        RECONCILIATION,
    ),
    Mutant(
        "deleted messages are not noticed",
        "chassis.outbox.deletions",
        "Deletions.unpublish",
        Skip("0"),
        SCHEDULES,
    ),
    Mutant(
        "orders are accepted for which the stream has no room",
        "chassis.outbox.outbox",
        "Outbox.has_room",
        Skip("True"),
        tests("tests/e2e/test_full_disk.py::test_orders_are_refused_before_the_stream_is_full"),
    ),
    Mutant(
        "a saga that waits too long retransmits nothing",
        "chassis.outbox.retransmission",
        "Retransmitter._retransmit_overdue",
        Drop("self._is_calm"),
        tests(
            "tests/e2e/saga/test_retransmission.py::"
            "test_lost_event_is_retransmitted[OrderCreated-CouponUsed-without1]"
        ),
    ),
    Mutant(
        "of two instances that retransmit for a saga at once, one stops",
        "chassis.outbox.retransmission",
        "_asked_first",
        Replace(
            "inserting_new", '__import__("chassis.storage.statements").storage.statements.inserting'
        ),
        tests(
            "tests/integration/test_statements.py::"
            "test_two_instances_may_retransmit_for_the_first_time"
        ),
    ),
)
