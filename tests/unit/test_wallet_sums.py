"""Balances are the sums of their ledgers, with messages in any order and repeated."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.contract import PaymentCompleted, PaymentFailed, PaymentRefunded
from payment.commands import SEED, ChargeWallet, OpenWallet
from payment.domain import MAX_BALANCE, EntryKind, PaymentState
from payment.reactions import reactions
from payment.unit_of_work import PaymentUnitOfWork
from saga.errors import Conflict, NotFound
from saga.event import Event
from tests.unit.handling import handle, is_distinct
from tests.unit.payment_fixtures import (
    ORDERS,
    cancel_requested,
    name_of,
    order_timed_out,
    stock_decremented,
    unit_of_work,
)

CUSTOMERS = ("c", "d", "unknown")
FORWARD = {
    ("NONE", "CAPTURED"),
    ("NONE", "FAILED"),
    ("CAPTURED", "REFUNDED"),
}

order_ids = st.sampled_from(ORDERS)
customers = st.sampled_from(CUSTOMERS)
steps = st.lists(
    st.one_of(
        st.integers(0, 4),
        order_ids.map(order_timed_out),
        st.builds(cancel_requested, st.integers(1, 3), order_ids),
        st.builds(ChargeWallet, customer_id=customers, amount=st.integers(1, 50)),
        st.builds(OpenWallet, customer_id=st.sampled_from(["c", "d"])),
    ),
    max_size=30,
)
asked = st.lists(st.tuples(customers, st.integers(0, 90)), min_size=5, max_size=5)


@settings(deadline=None)
@given(asked, steps)
def test_balances_add_up_for_any_sequence_of_messages(
    orders: list[tuple[str, int]], happened: list[object]
) -> None:
    """A number stands for that order's StockDecremented, the same each time."""
    uow = unit_of_work(None)
    emitted: list[Event] = []
    states = dict.fromkeys(ORDERS, "NONE")
    for each in happened:
        message = stock_decremented(ORDERS[each], *orders[each]) if isinstance(each, int) else each
        emitted += handle(reactions, message, uow)
        for order_id, before in states.items():
            states[order_id] = now = name_of(uow.payments.get(order_id))
            assert now == before or (before, now) in FORWARD
        check_sums(uow)
    assert is_distinct(emitted)
    check_events(uow, emitted)


def check_sums(uow: PaymentUnitOfWork) -> None:
    for customer in CUSTOMERS:
        entries = [entry for entry in uow.ledger if entry.customer_id == customer]
        wallet = uow.wallets.get(customer)
        assert (wallet.balance if wallet else 0) == sum(entry.delta for entry in entries)
        balances = [0, *(entry.balance_after for entry in entries)]
        assert min(balances) >= 0
        steps = [later - earlier for earlier, later in pairwise(balances)]
        assert steps == [entry.delta for entry in entries]
    for order_id in ORDERS:
        taken = [-entry.delta for entry in uow.ledger if entry.order_id == order_id]
        row = uow.payments.get(order_id)
        owes = row is not None and row.state is PaymentState.CAPTURED
        assert sum(taken) == (row.amount if row and owes else 0)
        assert len(taken) <= 2


def check_events(uow: PaymentUnitOfWork, emitted: list[Event]) -> None:
    """The events about each order agree with its payment."""
    types = {
        order_id: {type(event) for event in emitted if event.key == order_id} for order_id in ORDERS
    }
    for order_id, found in types.items():
        ended = {
            "NONE": set(),
            "CAPTURED": {PaymentCompleted},
            "FAILED": {PaymentFailed},
            "REFUNDED": {PaymentCompleted, PaymentRefunded},
        }
        assert found == ended[name_of(uow.payments.get(order_id))]


@settings(deadline=None)
@given(st.integers(0, MAX_BALANCE), st.integers(-MAX_BALANCE, MAX_BALANCE))
def test_balance_stays_within_its_bounds(balance: int, delta: int) -> None:
    uow = unit_of_work(balance)
    wallet = uow.wallets["c"]
    if 0 <= balance + delta <= MAX_BALANCE:
        assert uow.book(wallet, EntryKind.CHARGE, delta).balance == balance + delta
    else:
        with pytest.raises(Conflict) as refused:
            uow.book(wallet, EntryKind.CHARGE, delta)
        assert refused.value.code == "BALANCE_OUT_OF_RANGE"
        uow.release()
        assert [*uow.wallets.updated, *uow.ledger] == []


def test_wallet_is_opened_once() -> None:
    uow = unit_of_work(None)
    first, again = (reactions.execute(OpenWallet(customer_id="c"), uow).value for _ in range(2))
    assert (first.new, again.new) == (True, False)
    assert first.wallet == again.wallet == uow.wallets["c"]


def test_unknown_wallet_is_not_charged() -> None:
    with pytest.raises(NotFound) as refused:
        reactions.execute(ChargeWallet(customer_id="unknown", amount=1), unit_of_work(1))
    assert refused.value.code == "WALLET_NOT_FOUND"


def test_seeding_is_idempotent() -> None:
    uow = unit_of_work(None)
    first = [reactions.execute(command, uow).value for command in SEED]
    again = [reactions.execute(command, uow).value for command in SEED]
    uow.release()
    assert first == again
    assert [wallet.balance for wallet in first] == [1_000_000, 500_000, 250_000]
    assert [entry.kind for entry in uow.ledger] == [EntryKind.OPENING] * len(SEED)
