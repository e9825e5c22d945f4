"""Mistakes in what carries requests, work and acknowledgements."""

from tests.mutants.mutant import tests

MUTANTS = (
    tests(
        "of a header that was sent twice the fast path takes the last",
        "infra/fastpath.py",
        "if len(found) < len(headers) or",
        "if",
        "tests/chassis/test_fastpath.py",
    ),
    tests(
        "the fast path answers 200 where the route says another status",
        "infra/fastpath.py",
        "response.status_code or self._status",
        "response.status_code or 200",
        "tests/chassis/test_fastpath.py",
    ),
    tests(
        "the fast path goes past the route's middleware",
        "infra/fastpath.py",
        "        for middleware in handler.resolve_middleware():\n",
        "        for middleware in []:\n",
        "tests/chassis/test_fastpath.py",
    ),
    tests(
        "PostgreSQL cuts off what is too long",
        "infra/statements.py",
        "Text() if type(of) is String else of",
        "of",
        "tests/chassis/test_statements.py",
        "-k",
        "too_long",
    ),
    tests(
        "work is done though whoever asked has gone",
        "infra/writer.py",
        "None if future.cancelled() else _settling(work, future)",
        "_settling(work, future)",
        "tests/chassis/test_writer.py",
    ),
    tests(
        "two instances that ask about an order at once stop one of them",
        "infra/repetition.py",
        "_asked_first = inserting_new(",
        "from infra.statements import inserting\n\n_asked_first = inserting(",
        "tests/chassis/test_statements.py",
        "-k",
        "first_time",
    ),
    tests(
        "a small batch is written while another is",
        "infra/database.py",
        "            and self._thread.is_idle\n",
        "",
        "tests/chassis/test_database.py",
    ),
    tests(
        "the event loop stands still while another process writes",
        "infra/database.py",
        "            and self._turn.take_if_free()\n",
        "",
        "tests/chassis/test_database.py",
    ),
    tests(
        "the event loop waits for a slow disk",
        "infra/database.py",
        "            and self._was_quick\n",
        "",
        "tests/chassis/test_database.py",
    ),
    tests(
        "a service that was away for long rests for long",
        "infra/pace.py",
        "min(due_at, ended_at + LONGEST_REST_SECONDS)",
        "due_at",
        "tests/unit/test_pace.py",
    ),
    tests(
        "an acknowledgement waits for the next word, however long",
        "infra/nats_client.py",
        "            self._along = loop.call_later(ALONG_SECONDS, self._flush_soon)\n",
        "            self._along = loop.call_later(3600, self._flush_soon)\n",
        "tests/chassis/test_bus.py",
        "-k",
        "next_or_soon",
    ),
)
