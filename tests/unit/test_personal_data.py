"""Personal data is marked where it is declared, and travels in personal streams alone."""

from importlib import import_module
from typing import Annotated

import msgspec
import pytest

from events.contract import CONTRACT, AddressChanged, OrderCreated, ShippingAddressGiven
from events.participants import PARTICIPANTS
from saga.choreography.graph import load
from saga.event import Event
from saga.personal import MARK, Personal, personal_fields

NAMES_OF_PEOPLE = {"user.users.name"}
"""Columns called `name` that name a person; others name products, coupons and events."""

PERSONAL_NAMES = {
    *("email", "street", "postal_code", "postalCode", "city", "address", "label", "phone"),
    *("first_name", "last_name", "birthday", "password_hash", "token_hash", "previous_hash"),
}
OF_THE_VERSION_BEFORE = {"OrderCreated.address"}
"""Read in events that are up to a week old, and never written."""


def columns() -> dict[str, bool]:
    """Each column of the services' own tables, and whether it is marked."""
    return {
        f"{service}.{table.name}.{column.name}": MARK in column.info
        for service in PARTICIPANTS
        for table in import_module(f"{service}.app").participant.schema.sorted_tables
        for column in table.columns
    }


def test_columns_with_personal_names_are_marked_and_no_others() -> None:
    named = {
        each
        for each in columns()
        if each.rpartition(".")[2] in PERSONAL_NAMES or each in NAMES_OF_PEOPLE
    }
    assert {each for each, is_marked in columns().items() if is_marked} == named
    assert "order.shipping_addresses.street" in named


@pytest.mark.parametrize("event", CONTRACT, ids=lambda event: event.__name__)
def test_marked_fields_are_in_personal_streams_alone(event: type[Event]) -> None:
    marked = {
        f"{event.__name__}.{path}".rpartition(".")[0] if "." in path else f"{event.__name__}.{path}"
        for path, _ in personal_fields(event)
    }
    if not event.stream.is_personal:
        assert marked <= OF_THE_VERSION_BEFORE
    else:
        assert marked


@pytest.mark.parametrize("event", CONTRACT, ids=lambda event: event.__name__)
def test_fields_with_personal_names_are_marked(event: type[Event]) -> None:
    marked = {path for path, _ in personal_fields(event)}
    for path in paths(event):
        if path.rpartition(".")[2] in PERSONAL_NAMES - {"address"}:
            assert path in marked


def paths(declared: type[msgspec.Struct], prefix: str = "") -> list[str]:
    """All fields of a struct and of the structs in it."""
    found = []
    for field in msgspec.structs.fields(declared):
        found.append(f"{prefix}{field.encode_name}")
        kinds = getattr(field.type, "__args__", (field.type,))
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
                found += paths(kind, f"{prefix}{field.encode_name}.")
    return found


def test_new_orders_carry_no_address_to_other_services() -> None:
    emitting = load().registries["order"].commands.values()
    assert any({OrderCreated, ShippingAddressGiven} <= each.emits for each in emitting)
    assert load().consumers(ShippingAddressGiven) == []
    assert load().consumers(AddressChanged) == ["order"]


def test_marks_are_found_in_nested_and_optional_structs() -> None:
    class Inner(msgspec.Struct, rename="camel"):
        full_name: Annotated[str, Personal("x")]
        size: int

    class Outer(msgspec.Struct, rename="camel"):
        main_one: Inner | None
        others: tuple[Inner, ...]
        note: Annotated[str | None, Personal("y")] = None

    assert dict(personal_fields(Outer)) == {
        "mainOne.fullName": Personal("x"),
        "others.fullName": Personal("x"),
        "note": Personal("y"),
    }
