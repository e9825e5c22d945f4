"""A unit of work: each message can be rolled back alone, and only changes are written."""

from datetime import UTC, datetime

import msgspec
import pytest

from saga.unit_of_work import Ledger, Rows, UnitOfWork, values_of


class Row(msgspec.Struct, frozen=True):
    key: str
    value: int


def test_rolled_back_rows_are_as_before() -> None:
    rows = Rows({"a": Row("a", 1)})
    rows["a"] = Row("a", 2)
    rows["b"] = Row("b", 1)
    rows.roll_back()
    assert rows["a"].value == 1
    assert "b" not in rows
    assert (rows.inserted, rows.updated) == ([], [])


def test_roll_back_keeps_the_rows_of_an_earlier_released_message() -> None:
    rows = Rows({"a": Row("a", 1)})
    rows["a"] = Row("a", 2)
    rows.release()
    rows["a"] = Row("a", 3)
    assert rows["a"].value == 3
    rows.roll_back()
    assert rows["a"].value == 2


def test_new_rows_are_inserted_once_and_changed_rows_updated_once() -> None:
    rows = Rows({"a": Row("a", 1), "same": Row("same", 1)})
    for value in (2, 3):
        rows["a"] = Row("a", value)
        rows["new"] = Row("new", value)
        rows["same"] = Row("same", 1)
        rows.release()
    assert rows.inserted == [Row("new", 3)]
    assert rows.updated == [Row("a", 3)]


def test_missing_row_raises_key_error() -> None:
    rows: Rows[str, Row] = Rows()
    assert rows.get("a") is None
    with pytest.raises(KeyError, match="a"):
        rows["a"]


def test_unit_of_work_releases_and_rolls_back_all_its_parts() -> None:
    rows: Rows[str, Row] = Rows()
    ledger: Ledger[Row] = Ledger()
    uow = UnitOfWork(datetime(2026, 1, 1, tzinfo=UTC), rows, ledger)
    for value, ending in ((1, uow.roll_back), (2, uow.release)):
        rows["a"] = Row("a", value)
        ledger.add(Row("entry", value))
        uow.external_calls.add(Row("call", value))
        ending()
    assert rows.inserted == [Row("a", 2)]
    assert list(ledger) == [Row("entry", 2)]
    assert list(uow.external_calls) == [Row("call", 2)]


def test_external_call_of_an_unreleased_message_is_not_executed() -> None:
    uow = UnitOfWork(datetime(2026, 1, 1, tzinfo=UTC))
    uow.external_calls.add(Row("call", 1))
    assert list(uow.external_calls) == []


def test_values_are_distinct_and_in_lock_order() -> None:
    messages = [Row("b", 1), Row("a", 1), object(), Row("b", 2)]
    assert values_of(messages, "key") == ["a", "b"]
