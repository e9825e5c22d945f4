"""The audit finds every kind of discrepancy, and raises no false alarm."""

import json
import re
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
    personal,
    platform_deliveries,
    sales,
    stock,
    waiting,
    wallets,
)
from tests.e2e.audit_corruptions import CORRUPTIONS, Corruption
from tests.e2e.audit_fixtures import (
    Names,
    corrupted,
    database_file,
    make_orders,
    run_audit,
    settled,
    stop_services,
)
from tests.kit.client import run_stack, running_stack


class AuditedStack(msgspec.Struct, frozen=True):
    """A stack on which orders of every kind have ended and whose services are stopped."""

    environment: Mapping[str, str]
    names: Names

    def corrupted(self, service: str, sql: str) -> AbstractContextManager[None]:
        return corrupted(database_file(self.environment, service), sql, self.names)


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditedStack]:
    with running_stack(tmp_path_factory.mktemp("audited") / "stack") as environment:
        names = make_orders(environment)
        assert settled(environment) == []
        stop_services(environment)
        yield AuditedStack(environment, names)


# ---------------------------------------------------------------- what each check finds


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=str)
def test_discrepancy_names_its_order_and_event(
    audited: AuditedStack, corruption: Corruption
) -> None:
    order_id = audited.names[corruption.order] if corruption.order else None
    with audited.corrupted(corruption.service, corruption.sql):
        found = settled(audited.environment)
    wanted = (corruption.check, order_id, corruption.event)
    assert wanted in [(each.check, each.order_id, each.event) for each in found]


def test_every_check_has_a_corruption_that_it_finds() -> None:
    modules = (
        wallets,
        stock,
        sales,
        waiting,
        coupons,
        orders,
        delivery,
        card_payments,
        personal,
        platform_deliveries,
    )
    checks = {
        text
        for module in modules
        for name, text in vars(module).items()
        if name.isupper() and not name.startswith("_") and isinstance(text, str)
    }
    assert checks == {corruption.check for corruption in CORRUPTIONS}
    assert len(checks) == 32


def test_discrepancy_without_an_order_names_its_product_or_wallet(audited: AuditedStack) -> None:
    for service, statement, name in (
        ("payment", "UPDATE wallets SET balance = 5 WHERE customer_id = :customer", "customer"),
        ("product", "UPDATE products SET reserved = 5 WHERE product_id = :product", "product"),
    ):
        with audited.corrupted(service, statement):
            [found] = settled(audited.environment)
        assert audited.names[name] in found.what


def test_missing_event_is_named_with_its_dead_letter(audited: AuditedStack) -> None:
    sql = """
        DELETE FROM inbox WHERE key = :plain AND name = 'PaymentCompleted';
        INSERT INTO dead_letters (id, digest, stream, sequence, subject, headers, body, reason,
            error, created_at)
        VALUES (77, 'd', 'SAGA', 1, 'saga.' || :plain || '.PaymentCompleted', '{}', 'b', 'RAISED',
            'e', :long_ago)
    """
    with audited.corrupted("coupon", sql):
        [found] = settled(audited.environment)
    assert "coupon, where it is dead letter 77" in found.what


def test_event_older_than_its_retention_is_not_missed(audited: AuditedStack) -> None:
    """The stream keeps an event for a week and an inbox its id for eight days."""
    inbox = "DELETE FROM inbox WHERE key = :plain"
    outbox = """
        UPDATE outbox SET created_at = :long_ago, stream_sequence = stream_sequence + 1000000
        WHERE key = :plain
    """
    with audited.corrupted("coupon", inbox), audited.corrupted("order", outbox):
        found = settled(audited.environment)
    assert {each.event for each in found} == {"PaymentCompleted"}  # which is not so old


def test_event_that_may_be_under_way_is_not_reported(audited: AuditedStack) -> None:
    sql = """
        UPDATE outbox SET published_at = NULL, created_at = strftime('%Y-%m-%d %H:%M:%f', 'now')
        WHERE key = :plain AND name = 'CouponUsed'
    """
    with audited.corrupted("coupon", sql):
        assert audit(audited.environment, quiet_seconds=0, limit_seconds=60) == []
        assert [each.event for each in settled(audited.environment)] == ["CouponUsed"]


def test_orders_that_changed_lately_are_not_compared(audited: AuditedStack) -> None:
    sql = "UPDATE payments SET amount = 1 WHERE order_id = :plain"
    with audited.corrupted("payment", sql):
        found = audit(audited.environment, quiet_seconds=86_400)
        assert {each.check for each in found} == {wallets.BOOKED}  # by one database alone
        assert orders.PAID in {each.check for each in settled(audited.environment)}


# ---------------------------------------------------------------- as a command


def test_command_prints_clean_and_ends_with_0(audited: AuditedStack) -> None:
    ended = run_audit(audited.environment)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines()[-1] == "clean (10 orders)"
    report: dict[str, Any] = json.loads(run_audit(audited.environment, "--json").stdout)
    assert (report["clean"], report["verdict"]) == (True, "clean")
    looked_at = {result["check"]: result["lookedAt"] for result in report["results"]}
    assert len(looked_at) == 32
    assert 0 not in looked_at.values()


def test_command_prints_discrepancies_and_ends_with_1(audited: AuditedStack) -> None:
    sql = "DELETE FROM inbox WHERE key = :plain AND name = 'PaymentCompleted'"
    with audited.corrupted("coupon", sql):
        ended = run_audit(audited.environment)
        report = json.loads(run_audit(audited.environment, "--json").stdout)
    assert ended.returncode == 1
    assert "clean" not in ended.stdout
    assert f"{delivery.REACHED}: order {audited.names['plain']}: PaymentCompleted" in ended.stdout
    assert "(missing: PaymentCompleted)" in ended.stdout
    assert (report["clean"], report["verdict"]) == (False, "wrong")
    [found] = [each for result in report["results"] for each in result["discrepancies"]]
    assert (found["orderId"], found["event"]) == (audited.names["plain"], "PaymentCompleted")


def test_orders_that_just_changed_are_counted_and_never_clean(audited: AuditedStack) -> None:
    ended = run_audit(audited.environment, "--quiet-seconds", "86400", "--wait-seconds", "0")
    assert ended.returncode == 3
    assert "clean" not in ended.stdout
    *_, why, verdict = ended.stdout.splitlines()
    assert why.endswith(" not judged: it has just changed. Wait.")
    assert re.fullmatch(r"not everything judged \(10 orders, [0-9]+ not judged\)", verdict)


# ---------------------------------------------------------------- acknowledged discrepancies


def test_acknowledged_discrepancy_is_listed_apart(audited: AuditedStack, tmp_path: Path) -> None:
    file = tmp_path / "acknowledgements.json"
    customer, known = audited.names["customer"], {"AUDIT_ACKNOWLEDGEMENTS": str(file)}
    name = f"wallets-the-balance-is-the-sum-of-the-ledger/{customer}"
    with audited.corrupted("payment", "UPDATE wallets SET balance = balance + 7"):
        assert f"    {name}\n" in run_audit(audited.environment, **known).stdout
        words = ("--acknowledge", name, "--reason", "a gift", "--by", "Kim")
        still = run_audit(audited.environment, *words, **known)
    assert still.returncode == 1  # for the other wallets
    assert f"/{customer}" not in still.stdout
    line = re.search(r"acknowledged by Kim at \S+ \(a gift\): (.*)", still.stdout)
    assert line is not None
    assert customer in line[1]

    one = "UPDATE wallets SET balance = balance + {} WHERE customer_id = :customer"
    with audited.corrupted("payment", one.format(7)):
        ended = run_audit(audited.environment, **known)
        verdict = "clean (10 orders, 1 acknowledged)"
        assert (ended.returncode, ended.stdout.splitlines()[-1]) == (0, verdict)
        report = json.loads(run_audit(audited.environment, "--json", **known).stdout)
        assert report["acknowledged"] == [name]
    with audited.corrupted("payment", one.format(8)):
        ended = run_audit(audited.environment, **known)
        assert ended.returncode == 1
        assert "acknowledged by Kim with other figures: wallet" in ended.stdout


def test_acknowledging_needs_a_discrepancy_and_a_reason(
    audited: AuditedStack, tmp_path: Path
) -> None:
    file = tmp_path / "acknowledgements.json"
    known = {"AUDIT_ACKNOWLEDGEMENTS": str(file)}
    for words, why in (
        (("--acknowledge", "nothing", "--reason", "why"), "There is no discrepancy 'nothing'"),
        (("--acknowledge", "nothing"), "Give a reason"),
    ):
        ended = run_audit(audited.environment, *words, **known)
        assert (ended.returncode, why in ended.stderr) == (2, True)
    assert not file.exists()
    file.write_text("[")
    ended = run_audit(audited.environment, **known)
    assert (ended.returncode, str(file) in ended.stderr) == (2, True)


# ---------------------------------------------------------------- what can't be read


@pytest.mark.parametrize(
    "url",
    [
        "sqlite+aiosqlite:////nowhere/payment.db",
        "postgresql+psycopg://reader@127.0.0.1:1/payment",
        "oracle://127.0.0.1/payment",
        "this is no URL",
    ],
)
def test_database_that_cant_be_read_is_never_clean(audited: AuditedStack, url: str) -> None:
    ended = run_audit(audited.environment, PAYMENT_DATABASE_URL=url)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "The database of payment can't be read" in ended.stderr
    assert "PAYMENT_DATABASE_URL" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_database_with_other_tables_or_none_is_never_clean(
    audited: AuditedStack, tmp_path: Path
) -> None:
    empty, garbage = tmp_path / "empty.db", tmp_path / "garbage.db"
    empty.touch()
    garbage.write_bytes(b"garbage " * 1000)
    of_another = database_file(audited.environment, "order")
    for file in (empty, garbage, of_another):
        url = f"sqlite+aiosqlite:///{file}"
        ended = run_audit(audited.environment, PAYMENT_DATABASE_URL=url)
        assert (ended.returncode, ended.stdout) == (2, ""), file
        assert "read" in ended.stderr


def test_audit_writes_nothing(audited: AuditedStack) -> None:
    files = [database_file(audited.environment, name) for name in ("order", "payment")]
    before = [file.read_bytes() for file in files]
    assert settled(audited.environment) == []
    assert [file.read_bytes() for file in files] == before


def test_bad_argument_is_refused(audited: AuditedStack) -> None:
    for option, seconds in (("quiet", "-1"), ("limit", "soon"), ("limit", "nan")):
        ended = run_audit(audited.environment, f"--{option}-seconds", seconds)
        assert ended.returncode == 2
        assert "is not a number of seconds from 0 up" in ended.stderr


def test_without_a_stack_or_a_broker_there_is_no_result(
    audited: AuditedStack, tmp_path: Path
) -> None:
    with pytest.raises(CannotRead, match="Not set: NATS_URL, ORDER_DATABASE_URL, "):
        audit(dict(audited.environment) | {"STATE_DIR": str(tmp_path)})
    with pytest.raises(CannotRead, match="make up"):
        audit({"STATE_DIR": str(tmp_path)})
    run_stack(audited.environment, "stop", "nats")
    try:
        ended = run_audit(audited.environment)
    finally:
        run_stack(audited.environment, "start", "nats")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "The broker can't be read" in ended.stderr
