"""Balances are the sums of their ledgers, whatever comes in whatever order, and twice."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.contract import PaymentCompleted, PaymentFailed, PaymentRefunded
from payment.domain import (
    MAX_BALANCE,
    SEED,
    ChargeWallet,
    EntryKind,
    OpenWallet,
    PaymentState,
    Wallets,
)
from payment.reactions import reactions
from saga.errors import Conflict, NotFound
from saga.event import Event
from tests.unit.handling import handle, is_distinct
from tests.unit.wallets import ORDERS, cancel, decremented, name_of, timed_out, wallets

CUSTOMERS = ("c", "d", "nobody")
FORWARD = {
    ("NONE", "CAPTURED"),
    ("NONE", "FAILED"),
    ("CAPTURED", "REFUNDED"),
}

order_ids = st.sampled_from(ORDERS)
customers = st.sampled_from(CUSTOMERS)
happenings = st.lists(
    st.one_of(
        st.integers(0, 4),
        order_ids.map(timed_out),
        st.builds(cancel, st.integers(1, 3), order_ids),
        st.builds(ChargeWallet, customer_id=customers, amount=st.integers(1, 50)),
        st.builds(OpenWallet, customer_id=st.sampled_from(["c", "d"])),
    ),
    max_size=30,
)
asked = st.lists(st.tuples(customers, st.integers(0, 90)), min_size=5, max_size=5)


@settings(deadline=None)
@given(asked, happenings)
def test_balances_add_up_whatever_comes(
    orders: list[tuple[str, int]], happened: list[object]
) -> None:
    """A number stands for that order's StockDecremented, the same each time."""
    at = wallets(None)
    emitted: list[Event] = []
    states = dict.fromkeys(ORDERS, "NONE")
    for each in happened:
        message = decremented(ORDERS[each], *orders[each]) if isinstance(each, int) else each
        emitted += handle(reactions, message, at)
        for order_id, before in states.items():
            states[order_id] = now = name_of(at.payments.get(order_id))
            assert now == before or (before, now) in FORWARD
        check_sums(at)
    assert is_distinct(emitted)
    check_words(at, emitted)


def check_sums(at: Wallets) -> None:
    for customer in CUSTOMERS:
        entries = [entry for entry in at.ledger if entry.customer_id == customer]
        wallet = at.wallets.get(customer)
        assert (wallet.balance if wallet else 0) == sum(entry.delta for entry in entries)
        balances = [0, *(entry.balance_after for entry in entries)]
        assert min(balances) >= 0
        steps = [later - earlier for earlier, later in pairwise(balances)]
        assert steps == [entry.delta for entry in entries]
    for order_id in ORDERS:
        taken = [-entry.delta for entry in at.ledger if entry.order_id == order_id]
        row = at.payments.get(order_id)
        owes = row is not None and row.state is PaymentState.CAPTURED
        assert sum(taken) == (row.amount if row and owes else 0)
        assert len(taken) <= 2


def check_words(at: Wallets, emitted: list[Event]) -> None:
    """What was said of each order is what its row holds."""
    words = {
        order_id: {type(event) for event in emitted if event.key == order_id} for order_id in ORDERS
    }
    for order_id, received in words.items():
        ended = {
            "NONE": set(),
            "CAPTURED": {PaymentCompleted},
            "FAILED": {PaymentFailed},
            "REFUNDED": {PaymentCompleted, PaymentRefunded},
        }
        assert received == ended[name_of(at.payments.get(order_id))]


@settings(deadline=None)
@given(st.integers(0, MAX_BALANCE), st.integers(-MAX_BALANCE, MAX_BALANCE))
def test_a_balance_never_leaves_its_bounds(balance: int, delta: int) -> None:
    at = wallets(balance)
    wallet = at.wallets["c"]
    if 0 <= balance + delta <= MAX_BALANCE:
        assert at.book(wallet, EntryKind.CHARGE, delta).balance == balance + delta
    else:
        with pytest.raises(Conflict) as refused:
            at.book(wallet, EntryKind.CHARGE, delta)
        assert refused.value.code == "BALANCE_OUT_OF_RANGE"
        at.release()
        assert [*at.wallets.updated, *at.ledger] == []


def test_a_wallet_is_opened_once() -> None:
    at = wallets(None)
    first, again = (reactions.execute(OpenWallet(customer_id="c"), at).value for _ in range(2))
    assert (first.new, again.new) == (True, False)
    assert first.wallet == again.wallet == at.wallets["c"]


def test_nobody_puts_money_into_a_wallet_that_is_not_there() -> None:
    with pytest.raises(NotFound) as refused:
        reactions.execute(ChargeWallet(customer_id="nobody", amount=1), wallets(1))
    assert refused.value.code == "WALLET_NOT_FOUND"


def test_seeding_twice_changes_nothing() -> None:
    at = wallets(None)
    first = [reactions.execute(command, at).value for command in SEED]
    again = [reactions.execute(command, at).value for command in SEED]
    at.release()
    assert first == again
    assert [wallet.balance for wallet in first] == [1_000_000, 500_000, 250_000]
    assert [entry.kind for entry in at.ledger] == [EntryKind.OPENING] * len(SEED)
