"""Address books, the copies and snapshots of the order service, and their erasure."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.contract import (
    Address,
    AddressChanged,
    ShippingAddressesErased,
    ShippingAddressGiven,
    UserErased,
)
from order.adoption import adoptions as order_adoptions
from order.commands import PlaceOrder, WantedLine
from order.domain import OrderState
from order.reactions import reactions as order_reactions
from order.unit_of_work import OrderUnitOfWork
from saga.errors import Refused
from saga.event import Event
from saga.unit_of_work import Erased, Rows
from tests.unit.handling import handle
from tests.unit.order_fixtures import (
    CUSTOMER,
    IN_STATE,
    ORDER,
    PAID,
    listed_products,
    unit_of_work,
)
from user.adoption import adoptions
from user.commands import (
    AddAddress,
    BeginSession,
    ChangeAddress,
    DeleteAddress,
    EndErasure,
    EraseUser,
    PurgeAgain,
    RefreshSession,
    RegisterUser,
    RenameUser,
)
from user.domain import SETTLE, UserState
from user.reactions import reactions
from user.unit_of_work import Purge, UserUnitOfWork

NOW = datetime(2026, 1, 31, 9, tzinfo=UTC)
SEOUL = Address(street="1 Road", postal_code="1", city="Seoul")
BUSAN = Address(street="2 Road", postal_code="2", city="Busan")


@pytest.fixture
def uow() -> UserUnitOfWork:
    """With a user, and without addresses."""
    made = UserUnitOfWork(NOW, Rows(), Rows(), Rows(), Rows())
    command = RegisterUser(
        user_id="u", email="a@shop.test", name="A", password_hash="h", roles="customer"
    )
    handle(reactions, command, made)
    return made


def add(uow: UserUnitOfWork, address_id: str, *, is_default: bool = False) -> tuple[Event, ...]:
    command = AddAddress(
        address_id=address_id,
        user_id="u",
        label="",
        street=address_id,
        postal_code="1",
        city="Seoul",
        is_default=is_default,
    )
    return handle(reactions, command, uow)


ACTIONS = st.lists(
    st.tuples(st.sampled_from(["add", "default", "rename", "delete"]), st.integers(0, 5)),
    max_size=30,
)


@given(ACTIONS)
def test_one_address_is_the_default_while_there_is_any(actions: list[tuple[str, int]]) -> None:
    """And the newest events of all addresses tell the same book."""
    book = UserUnitOfWork(NOW, Rows(), Rows(), Rows(), Rows())
    register = RegisterUser(user_id="u", email="a", name="A", password_hash="h", roles="customer")
    handle(reactions, register, book)
    newest: dict[str, AddressChanged] = {}
    for number, (action, which) in enumerate(actions):
        book.now = NOW + timedelta(seconds=number)
        ids = [each.address_id for each in book.book_of("u")]
        chosen = ids[which % len(ids)] if ids else "none"
        commands: dict[str, object] = {
            "default": ChangeAddress(address_id=chosen, user_id="u", is_default=True),
            "rename": ChangeAddress(address_id=chosen, user_id="u", label=f"{number}"),
            "delete": DeleteAddress(address_id=chosen, user_id="u"),
        }
        if action == "add":
            events = add(book, f"a{number}", is_default=bool(which % 2))
        elif ids:
            events = handle(reactions, commands[action], book)
        else:
            continue
        for event in events:
            assert isinstance(event, AddressChanged)
            before = newest.get(event.address_id)
            assert event.version == (before.version if before else 0) + 1
            newest[event.address_id] = event
        remaining = book.book_of("u")
        assert sum(each.is_default for each in remaining) == bool(remaining)
    told = {each for each, event in newest.items() if event.address is not None}
    assert told == {each.address_id for each in book.book_of("u")}
    for each in book.book_of("u"):
        assert newest[each.address_id] == each.changed


def test_deleted_address_is_a_version_without_personal_fields(uow: UserUnitOfWork) -> None:
    add(uow, "a1")
    assert handle(reactions, DeleteAddress(address_id="a1", user_id="u"), uow) == (
        AddressChanged(user_id="u", address_id="a1", version=2),
    )
    assert uow.book_of("u") == []


def test_restored_user_service_gets_its_addresses_back(uow: UserUnitOfWork) -> None:
    newer = AddressChanged(user_id="u", address_id="a1", version=3, address=SEOUL, label="x")
    older = AddressChanged(user_id="u", address_id="a1", version=2, address=BUSAN, label="y")
    of_unknown_user = AddressChanged(user_id="v", address_id="a2", version=1, address=SEOUL)
    for event in (newer, older, of_unknown_user):
        assert adoptions.adopt(event, uow, None) is None
    uow.release()
    [address] = uow.book_of("u")
    assert (address.version, address.street, address.label) == (3, "1 Road", "x")
    assert uow.book_of("v") == []


# ---------------------------------------------------------------- erasure in the user service


def test_erased_user_is_an_id_alone(uow: UserUnitOfWork) -> None:
    add(uow, "a1")
    assert handle(reactions, EraseUser(user_id="u"), uow) == (UserErased(user_id="u"),)
    user = uow.users["u"]
    assert (user.email, user.name, user.password_hash, user.roles) == ("u", "", "", "")
    assert list(uow.erased) == [Erased("u")]
    for command in (
        RenameUser(user_id="u", name="B"),
        BeginSession(session_id="s", user_id="u", password_hash="h", token_hash="1"),
        BeginSession(session_id="s", user_id="u", password_hash="", token_hash="1"),
    ):
        with pytest.raises(Refused):
            reactions.execute(command, uow)
        uow.roll_back()
    assert add(uow, "a2") == ()
    refresh = RefreshSession(session_id="s", presented_hash="1", token_hash="2")
    assert reactions.execute(refresh, uow).value.user is None


def state(uow: UserUnitOfWork) -> str:
    return uow.users["u"].state


def test_erasure_is_done_after_a_purge_that_nothing_can_follow(uow: UserUnitOfWork) -> None:
    handle(reactions, EraseUser(user_id="u"), uow)
    assert handle(reactions, EraseUser(user_id="u"), uow) == (), "it is under way"
    handle(reactions, EndErasure(user_id="u"), uow)
    assert state(uow) == "ERASING", "orders still have addresses"
    handle(reactions, ShippingAddressesErased(user_id="u"), uow)
    assert list(uow.external_calls) == [Purge("u")]
    handle(reactions, EndErasure(user_id="u"), uow)
    assert state(uow) == "PURGING"
    uow.now += SETTLE
    handle(reactions, PurgeAgain(user_id="u"), uow)
    assert list(uow.external_calls) == [Purge("u")] * 2
    handle(reactions, EndErasure(user_id="u"), uow)
    assert state(uow) == "ERASED"
    handle(reactions, ShippingAddressesErased(user_id="u"), uow)  # from a replay
    assert state(uow) == "ERASED"


def test_operator_repeats_an_erasure_and_erases_an_id_without_an_account(
    uow: UserUnitOfWork,
) -> None:
    with pytest.raises(Refused):
        reactions.execute(EraseUser(user_id="lost"), uow)
    uow.roll_back()
    lost = EraseUser(user_id="lost", may_be_unknown=True)
    assert handle(reactions, lost, uow) == (UserErased(user_id="lost"),)
    uow.put(uow.users["lost"].change(NOW, state=UserState.ERASED))
    assert handle(reactions, lost, uow) == ()
    assert (uow.users["lost"].state, list(uow.external_calls)) == (
        UserState.PURGING,
        [Purge("lost")],
    )


def test_restored_user_service_erases_again(uow: UserUnitOfWork) -> None:
    assert adoptions.adopt(UserErased(user_id="u"), uow, None) is None
    uow.release()
    assert (uow.users["u"].email, list(uow.erased)) == ("u", [Erased("u")])


# ---------------------------------------------------------------- the order service


def ships(**address: object) -> PlaceOrder:
    items = (WantedLine(product_id="p0", quantity=1),)
    return PlaceOrder(order_id=ORDER, customer_id=CUSTOMER, items=items, **address)  # type: ignore[arg-type]  # one of two fields


def copied(version: int, address: Address | None, user_id: str = CUSTOMER) -> AddressChanged:
    return AddressChanged(user_id=user_id, address_id="a1", version=version, address=address)


def test_order_is_shipped_to_the_newest_version_of_an_address() -> None:
    uow = unit_of_work(prices=listed_products(30))
    for event in (copied(2, BUSAN), copied(1, SEOUL)):
        handle(order_reactions, event, uow)
    created, given = handle(order_reactions, ships(address_id="a1"), uow)
    assert given == ShippingAddressGiven(customer_id=CUSTOMER, order_id=ORDER, address=BUSAN)
    assert not hasattr(created, "address") or created.address is None


@pytest.mark.parametrize(
    "known", [None, copied(1, None), copied(1, SEOUL, user_id="another")], ids=str
)
def test_unknown_deleted_and_foreign_addresses_are_refused(known: AddressChanged | None) -> None:
    uow = unit_of_work(prices=listed_products(30))
    if known:
        handle(order_reactions, known, uow)
    with pytest.raises(Refused) as refused:
        order_reactions.execute(ships(address_id="a1"), uow)
    assert refused.value.code == "ADDRESS_NOT_FOUND"


def assert_nothing_is_stored_any_more(uow: OrderUnitOfWork) -> None:
    """Neither a copy nor a snapshot, in whatever order their events come."""
    before = uow.addresses.current, uow.shipping.current
    handle(order_reactions, copied(9, SEOUL), uow)
    given = ShippingAddressGiven(customer_id=CUSTOMER, order_id="o2", address=SEOUL)
    assert order_adoptions.adopt(given, uow, None) is None
    for options in ({"address": SEOUL}, {"address_id": "a1"}):
        with pytest.raises(Refused) as refused:
            order_reactions.execute(ships(**options), uow)
        assert refused.value.code == "ACCOUNT_ERASED"
    assert (uow.addresses.current, uow.shipping.current) == before


@pytest.mark.parametrize("is_adopted", [False, True], ids=["handled", "adopted"])
def test_addresses_of_an_erased_customer_are_not_stored_any_more(is_adopted: bool) -> None:
    uow = unit_of_work(prices=listed_products(30))
    done = ShippingAddressesErased(user_id=CUSTOMER)
    if is_adopted:
        assert order_adoptions.adopt(done, uow, None) is None
        uow.release()
    else:
        assert handle(order_reactions, UserErased(user_id=CUSTOMER), uow) == (done,)
    assert list(uow.erased) == [Erased(CUSTOMER)]
    assert handle(order_reactions, UserErased(user_id=CUSTOMER), uow) == (), "it is published once"
    assert_nothing_is_stored_any_more(uow)


@pytest.mark.parametrize("state", [OrderState.PENDING, OrderState.WAITING])
def test_order_that_is_under_way_ends_after_the_erasure(state: OrderState) -> None:
    uow = unit_of_work(state)
    handle(order_reactions, UserErased(user_id=CUSTOMER), uow)
    handle(order_reactions, PAID, uow)
    order = uow.orders[ORDER]
    assert (order.state, order.items) == (OrderState.COMPLETED, IN_STATE[state].items)
