"""Mistakes in what the loop stands on: database, broker connection and HTTP edge."""

from tests.correctness.mutants.mutant import Drop, Mutant, Replace, Skip, tests

STATEMENTS = "tests/integration/test_statements.py"
DATABASE = tests("tests/integration/test_database.py")
FAST_PATH = tests("tests/integration/test_fastpath.py")
BROKER = "tests/integration/test_bus.py"

STORAGE = (
    Mutant(
        "a list of keys is not looked up in the index",
        "chassis.storage.statements",
        "_Among.self_group",
        Skip("super().self_group(against)"),
        tests(STATEMENTS),
    ),
    Mutant(
        "PostgreSQL cuts off a text that is too long",
        "chassis.storage.statements",
        "_without_length",
        Skip("of"),
        tests(f"{STATEMENTS}::test_a_text_that_is_too_long_is_rejected_and_never_cut"),
    ),
    Mutant(
        "a transaction overtakes those that wait for the writer's thread",
        "chassis.storage.writer",
        "Writer.run",
        Replace("and not self._waiting", ""),
        tests("tests/integration/test_writer.py"),
    ),
    Mutant(
        "the event loop stands still while another process writes",
        "chassis.storage.writer",
        "Writer.run",
        Replace("self._lock.try_acquire()", "[self._lock.acquire()]"),
        DATABASE,
    ),
    Mutant(
        "the event loop waits for a slow disk",
        "chassis.storage.writer",
        "Writer.run",
        Replace("and self._was_quick", ""),
        DATABASE,
    ),
)

BROKER_CONNECTION = (
    Mutant(
        "an acknowledgement waits for the next message, however long",
        "chassis.broker.nats_client",
        "NatsClient.piggyback",
        Replace("call_later(PIGGYBACK_SECONDS,", "call_later(3600,"),
        tests(f"{BROKER}::test_piggybacked_message_is_sent_with_the_next_one_or_soon"),
    ),
    Mutant(
        "a subscription counts as made before the broker knows of it",
        "chassis.broker.nats_client",
        "NatsClient.flush",
        Replace(
            "await super().flush(timeout)\n        await super().flush(timeout)",
            "await super().flush(timeout)",
        ),
        tests(f"{BROKER}::test_flush_returns_behind_what_was_sent"),
    ),
)

WEB = (
    Mutant(
        "a few orders that fail early hide an overload",
        "chassis.web.load_shedding",
        "LoadShedder._overload_ratio",
        Replace("median_low", "min"),
        tests("tests/unit/test_admission.py"),
    ),
    Mutant(
        "of a header that was sent twice the fast path takes the last",
        "chassis.web.fast_path",
        "_Route.read",
        Replace("len(found) < len(headers) or", ""),
        FAST_PATH,
    ),
    Mutant(
        "the fast path answers 200 where the route has another status",
        "chassis.web.fast_path",
        "_Route._call",
        Replace("response.status_code or self._status", "response.status_code or 200"),
        FAST_PATH,
    ),
    Mutant(
        "the fast path leaves out the route's middleware",
        "chassis.web.fast_path",
        "_Route.__init__",
        Drop("handler.resolve_middleware()"),
        FAST_PATH,
    ),
)

MUTANTS = (*STORAGE, *BROKER_CONNECTION, *WEB)
