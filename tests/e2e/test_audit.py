"""The audit names every kind of discrepancy, and cries wolf over none."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ops.audit import (
    CannotRead,
    audit,
    card_payments,
    coupons,
    delivery,
    orders,
    platform_deliveries,
    sales,
    stock,
    waiting,
    wallets,
)
from tests.e2e.audit_corruptions import CORRUPTIONS, Corruption
from tests.e2e.audit_fixtures import (
    Names,
    database_file,
    falsified,
    make_orders,
    settled,
    stop_services,
)
from tests.kit.client import ROOT, run_stack, running_stack


class Books(msgspec.Struct, frozen=True):
    """A stack on which orders of every kind have ended and whose services are stopped."""

    environment: Mapping[str, str]
    names: Names

    def falsified(self, service: str, sql: str) -> AbstractContextManager[None]:
        return falsified(database_file(self.environment, service), sql, self.names)


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Books]:
    with running_stack(tmp_path_factory.mktemp("books") / "stack") as environment:
        names = make_orders(environment)
        assert settled(environment) == []
        stop_services(environment)
        yield Books(environment, names)


def run_audit(
    environment: Mapping[str, str], *words: str, **more: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ops", "audit", "--quiet-seconds", "0", *words],
        cwd=ROOT,
        env=dict(environment) | more,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


# ---------------------------------------------------------------- each check finds what it is for


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=str)
def test_a_discrepancy_is_named_with_its_order_and_event(
    books: Books, corruption: Corruption
) -> None:
    order_id = books.names[corruption.order] if corruption.order else None
    with books.falsified(corruption.service, corruption.sql):
        found = settled(books.environment)
    wanted = (corruption.check, order_id, corruption.event)
    assert wanted in [(each.check, each.order_id, each.event) for each in found]


def test_every_check_has_a_lie_that_it_finds() -> None:
    modules = (
        wallets,
        stock,
        sales,
        waiting,
        coupons,
        orders,
        delivery,
        card_payments,
        platform_deliveries,
    )
    checks = {
        text
        for module in modules
        for name, text in vars(module).items()
        if name.isupper() and not name.startswith("_") and isinstance(text, str)
    }
    assert checks == {corruption.check for corruption in CORRUPTIONS}
    assert len(checks) == 30


def test_a_product_or_a_wallet_is_named_where_no_order_is_at_fault(books: Books) -> None:
    for service, statement, name in (
        ("payment", "UPDATE wallets SET balance = 5 WHERE customer_id = :customer", "customer"),
        ("product", "UPDATE products SET reserved = 5 WHERE product_id = :product", "product"),
    ):
        with books.falsified(service, statement):
            [found] = settled(books.environment)
        assert books.names[name] in found.what


def test_what_was_set_aside_is_named_with_its_dead_letter(books: Books) -> None:
    sql = """
        DELETE FROM inbox WHERE key = :plain AND name = 'PaymentCompleted';
        INSERT INTO dead_letters (id, digest, stream, sequence, subject, headers, body, reason,
            error, created_at)
        VALUES (77, 'd', 'SAGA', 1, 'saga.' || :plain || '.PaymentCompleted', '{}', 'b', 'RAISED',
            'e', :long_ago)
    """
    with books.falsified("coupon", sql):
        [found] = settled(books.environment)
    assert "coupon, which set it aside as dead letter 77" in found.what


def test_what_is_old_enough_to_be_forgotten_is_not_missed(books: Books) -> None:
    """The stream keeps an event for a week and an inbox its id for eight days."""
    inbox = "DELETE FROM inbox WHERE key = :plain"
    outbox = """
        UPDATE outbox SET created_at = :long_ago, stream_sequence = stream_sequence + 1000000
        WHERE key = :plain
    """
    with books.falsified("coupon", inbox), books.falsified("order", outbox):
        found = settled(books.environment)
    assert {each.event for each in found} == {"PaymentCompleted"}  # that is not so old


def test_what_may_still_be_on_its_way_is_left_alone(books: Books) -> None:
    sql = """
        UPDATE outbox SET published_at = NULL, created_at = strftime('%Y-%m-%d %H:%M:%f', 'now')
        WHERE key = :plain AND name = 'CouponUsed'
    """
    with books.falsified("coupon", sql):
        assert audit(books.environment, quiet_seconds=0, limit_seconds=60) == []
        assert [each.event for each in settled(books.environment)] == ["CouponUsed"]


def test_orders_that_were_not_quiet_are_left_alone(books: Books) -> None:
    sql = "UPDATE payments SET amount = 1 WHERE order_id = :plain"
    with books.falsified("payment", sql):
        found = audit(books.environment, quiet_seconds=86_400)
        assert {each.check for each in found} == {wallets.BOOKED}  # one database knows for sure
        assert orders.PAID in {each.check for each in settled(books.environment)}


# ---------------------------------------------------------------- as a command


def test_the_command_says_clean_and_ends_with_0(books: Books) -> None:
    ended = run_audit(books.environment)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines()[-1] == "clean (10 orders)"
    report: dict[str, Any] = json.loads(run_audit(books.environment, "--json").stdout)
    assert report["clean"] is True
    looked_at = {result["check"]: result["lookedAt"] for result in report["results"]}
    assert len(looked_at) == 30
    assert 0 not in looked_at.values()


def test_the_command_names_what_is_wrong_and_ends_with_1(books: Books) -> None:
    sql = "DELETE FROM inbox WHERE key = :plain AND name = 'PaymentCompleted'"
    with books.falsified("coupon", sql):
        ended = run_audit(books.environment)
        report = json.loads(run_audit(books.environment, "--json").stdout)
    assert ended.returncode == 1
    assert "clean" not in ended.stdout
    assert f"{delivery.REACHED}: order {books.names['plain']}: PaymentCompleted" in ended.stdout
    assert "(missing: PaymentCompleted)" in ended.stdout
    assert report["clean"] is False
    [found] = [each for result in report["results"] for each in result["discrepancies"]]
    assert (found["orderId"], found["event"]) == (books.names["plain"], "PaymentCompleted")


@pytest.mark.parametrize(
    "url",
    [
        "sqlite+aiosqlite:////nowhere/payment.db",
        "postgresql+psycopg://nobody@127.0.0.1:1/payment",
        "oracle://127.0.0.1/payment",
        "this is no URL",
    ],
)
def test_a_database_that_cant_be_read_is_never_clean(books: Books, url: str) -> None:
    ended = run_audit(books.environment, PAYMENT_DATABASE_URL=url)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "The database of payment can't be read" in ended.stderr
    assert "PAYMENT_DATABASE_URL" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_database_with_other_tables_or_none_is_never_clean(books: Books, tmp_path: Path) -> None:
    empty, garbage = tmp_path / "empty.db", tmp_path / "garbage.db"
    empty.touch()
    garbage.write_bytes(b"garbage " * 1000)
    of_another = database_file(books.environment, "order")
    for file in (empty, garbage, of_another):
        url = f"sqlite+aiosqlite:///{file}"
        ended = run_audit(books.environment, PAYMENT_DATABASE_URL=url)
        assert (ended.returncode, ended.stdout) == (2, ""), file
        assert "read" in ended.stderr


def test_nothing_is_written(books: Books) -> None:
    files = [database_file(books.environment, name) for name in ("order", "payment")]
    before = [file.read_bytes() for file in files]
    assert settled(books.environment) == []
    assert [file.read_bytes() for file in files] == before


def test_a_bad_argument_is_told(books: Books) -> None:
    for option, seconds in (("quiet", "-1"), ("limit", "soon"), ("limit", "nan")):
        ended = run_audit(books.environment, f"--{option}-seconds", seconds)
        assert ended.returncode == 2
        assert "is not a number of seconds from 0 up" in ended.stderr


def test_without_a_stack_or_a_broker_it_can_tell_nothing(books: Books, tmp_path: Path) -> None:
    with pytest.raises(CannotRead, match="make up"):
        audit(dict(books.environment) | {"STATE_DIR": str(tmp_path)})
    run_stack(books.environment, "stop", "nats")
    try:
        ended = run_audit(books.environment)
    finally:
        run_stack(books.environment, "start", "nats")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "The broker can't be read" in ended.stderr
