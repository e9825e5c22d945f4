"""Ids: valid UUIDs, ordered by time, and the same for the same name."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from chassis.ports import new_id
from saga import ids

TIMES = st.integers(0, 2**48 - 1)
RANDOM = st.integers(0, 2**80 - 1)
NAMES = st.text(max_size=40)


@given(TIMES, RANDOM)
def test_timed_id_is_a_uuid_that_begins_with_its_time(milliseconds: int, random: int) -> None:
    made = ids.timed(milliseconds, random)
    as_uuid = UUID(made)
    assert (str(as_uuid), as_uuid.version, as_uuid.variant) == (made, 7, "specified in RFC 4122")
    assert as_uuid.int >> 80 == milliseconds


@given(TIMES, TIMES, RANDOM, RANDOM)
def test_timed_ids_sort_by_time(first: int, second: int, one: int, other: int) -> None:
    if first < second:
        assert ids.timed(first, one) < ids.timed(second, other)


@given(st.uuids(), NAMES)
def test_derived_id_is_a_uuid_that_begins_as_its_key(key: UUID, name: str) -> None:
    made = ids.derived(str(key), name)
    as_uuid = UUID(made)
    assert (str(as_uuid), as_uuid.version, as_uuid.variant) == (made, 8, "specified in RFC 4122")
    assert made[:13] == str(key)[:13]
    assert made == ids.derived(str(key), name)


@given(st.uuids(), NAMES, NAMES)
def test_different_names_have_different_ids(key: UUID, one: str, other: str) -> None:
    assert (ids.derived(str(key), one) == ids.derived(str(key), other)) == (one == other)


def test_orders_of_the_same_millisecond_have_different_derived_ids() -> None:
    keys = [ids.timed(1, random << 20) for random in range(5_000)]
    assert len({ids.derived(key, "OrderCreated/0") for key in keys}) == len(keys)


def test_new_ids_are_different() -> None:
    assert len({new_id() for _ in range(10_000)}) == 10_000
