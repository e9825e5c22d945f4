"""Wallets: every event in every state, and balances that are the sums of their ledgers."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.contract import (
    FailReason,
    Line,
    PaymentCompleted,
    PaymentFailed,
    PaymentMethod,
    StockDecremented,
)
from infra.errors import Conflict, NotFound
from infra.rows import Ledger, Rows
from payment.domain import (
    LARGEST_BALANCE,
    SEED,
    UNSETTLED,
    ChargeWallet,
    EntryKind,
    OpenWallet,
    Payment,
    PaymentState,
    Wallet,
    Wallets,
    payment_id,
)
from payment.reactions import reactions

NOW = datetime(2030, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(seconds=1)
ORDERS = [f"00000000-0000-0000-0000-00000000000{i}" for i in range(5)]
LINES = (Line(product_id="p", quantity=1, price=60),)


def decremented(
    order_id: str = ORDERS[0],
    customer: str = "c",
    amount: int = 60,
    method: PaymentMethod = PaymentMethod.WALLET,
) -> StockDecremented:
    return StockDecremented(
        order_id=order_id,
        customer_id=customer,
        items=LINES,
        total_amount=amount + 5,
        discount_amount=5,
        payable_amount=amount,
        payment_method=method,
    )


def wallets(balance: int | None, *payments: Payment) -> Wallets:
    """The customer c with this much money; None: without a wallet."""
    rows = {}
    if balance is not None:
        rows["c"] = Wallet(customer_id="c", balance=balance, created_at=NOW, updated_at=NOW)
    by_order = {payment.order_id: payment for payment in payments}
    return Wallets(LATER, Rows(rows), Rows(by_order), Ledger())


def payment(state: PaymentState) -> Payment:
    failed = state is PaymentState.FAILED
    return Payment(
        order_id=ORDERS[0],
        payment_id=payment_id(ORDERS[0]),
        customer_id="c",
        method=PaymentMethod.WALLET,
        amount=60,
        state=state,
        fail_reason=FailReason.INSUFFICIENT_BALANCE if failed else None,
        created_at=NOW,
        updated_at=NOW,
    )


def test_a_payment_is_taken() -> None:
    at = wallets(100)
    (said,) = reactions.react(decremented(), at)
    at.keep()
    assert said == PaymentCompleted(
        order_id=ORDERS[0],
        payment_id=payment_id(ORDERS[0]),
        customer_id="c",
        method=PaymentMethod.WALLET,
        amount=60,
        discount_amount=5,
    )
    (row,) = at.payments.inserted
    assert (row.state, row.fail_reason, row.amount) == (PaymentState.CAPTURED, None, 60)
    assert at.wallets["c"].balance == 40
    (entry,) = at.ledger
    assert (entry.kind, entry.delta, entry.balance_after) == (EntryKind.PAYMENT, -60, 40)
    assert (entry.order_id, entry.created_at) == (ORDERS[0], LATER)


@pytest.mark.parametrize(
    ("balance", "reason"),
    [(None, FailReason.WALLET_NOT_FOUND), (59, FailReason.INSUFFICIENT_BALANCE)],
)
def test_a_payment_is_refused(balance: int | None, reason: FailReason) -> None:
    at = wallets(balance)
    said = reactions.react(decremented(), at)
    at.keep()
    assert said == (PaymentFailed(order_id=ORDERS[0], reason=reason),)
    (row,) = at.payments.inserted
    assert (row.state, row.fail_reason, row.amount) == (PaymentState.FAILED, reason, 60)
    assert [*at.wallets.inserted, *at.wallets.updated, *at.ledger] == []


def test_the_last_won_is_enough_and_nothing_costs_nothing() -> None:
    at = wallets(60)
    (said,) = reactions.react(decremented(), at)
    (free,) = reactions.react(decremented(ORDERS[1], amount=0), at)
    at.keep()
    assert isinstance(said, PaymentCompleted)
    assert isinstance(free, PaymentCompleted)
    assert at.wallets["c"].balance == 0
    assert len(list(at.ledger)) == 1


@pytest.mark.parametrize("state", list(PaymentState))
def test_a_verdict_is_given_once(state: PaymentState) -> None:
    at = wallets(100, payment(state))
    assert reactions.react(decremented(), at) == ()
    at.keep()
    assert [*at.payments.updated, *at.wallets.updated, *at.ledger] == []


def test_the_states_and_events_are_all_of_them() -> None:
    assert reactions.hears == {StockDecremented}
    assert frozenset() == UNSETTLED


def test_an_order_has_one_payment_id() -> None:
    assert payment_id(ORDERS[0]) == payment_id(ORDERS[0].upper())
    assert len({payment_id(order_id) for order_id in ORDERS}) == len(ORDERS)


customers = st.sampled_from(["c", "d", "nobody"])
happenings = st.lists(
    st.one_of(
        st.integers(0, 4),
        st.builds(ChargeWallet, customer_id=customers, amount=st.integers(1, 50)),
        st.builds(OpenWallet, customer_id=st.sampled_from(["c", "d"])),
    ),
    max_size=30,
)
asked = st.lists(
    st.tuples(customers, st.integers(0, 90), st.sampled_from(list(PaymentMethod))),
    min_size=5,
    max_size=5,
)


@settings(deadline=None)
@given(asked, happenings)
def test_balances_add_up_whatever_comes(
    orders: list[tuple[str, int, PaymentMethod]], happened: list[int | ChargeWallet | OpenWallet]
) -> None:
    """A number stands for that order's StockDecremented, the same each time."""
    at = wallets(None)
    verdicts: dict[str, Payment] = {}
    for each in happened:
        if isinstance(each, int):
            customer, amount, method = orders[each]
            said = reactions.react(decremented(ORDERS[each], customer, amount, method), at)
            assert len(said) == (ORDERS[each] not in verdicts)
            at.keep()
            row = at.payments[ORDERS[each]]
            assert verdicts.setdefault(ORDERS[each], row) == row
        else:
            open_or_charge(at, each)
        check_sums(at, verdicts)


def open_or_charge(at: Wallets, command: ChargeWallet | OpenWallet) -> None:
    had = command.customer_id in at.wallets
    if isinstance(command, ChargeWallet) and not had:
        with pytest.raises(NotFound):
            reactions.carry_out(command, at)
        at.undo()
        return
    answer, said = reactions.carry_out(command, at)
    at.keep()
    assert said == ()
    if isinstance(command, OpenWallet):
        assert answer.new is not had


def check_sums(at: Wallets, verdicts: dict[str, Payment]) -> None:
    captured = [row for row in verdicts.values() if row.state is PaymentState.CAPTURED]
    for customer in ("c", "d"):
        entries = [entry for entry in at.ledger if entry.customer_id == customer]
        wallet = at.wallets.get(customer)
        assert (wallet.balance if wallet else 0) == sum(entry.delta for entry in entries)
        balances = [0, *(entry.balance_after for entry in entries)]
        assert min(balances) >= 0
        steps = [later - earlier for earlier, later in pairwise(balances)]
        assert steps == [entry.delta for entry in entries]
        paid = {entry.order_id: -entry.delta for entry in entries if entry.order_id}
        owed = {row.order_id: row.amount for row in captured if row.customer_id == customer}
        assert paid == {order_id: amount for order_id, amount in owed.items() if amount}
    assert "nobody" not in at.wallets


@settings(deadline=None)
@given(st.integers(0, LARGEST_BALANCE), st.integers(-LARGEST_BALANCE, LARGEST_BALANCE))
def test_a_balance_never_leaves_its_bounds(balance: int, delta: int) -> None:
    at = wallets(balance)
    wallet = at.wallets["c"]
    if 0 <= balance + delta <= LARGEST_BALANCE:
        assert at.book(wallet, EntryKind.CHARGE, delta).balance == balance + delta
    else:
        with pytest.raises(Conflict) as refused:
            at.book(wallet, EntryKind.CHARGE, delta)
        assert refused.value.code == "BALANCE_OUT_OF_RANGE"
        at.keep()
        assert [*at.wallets.updated, *at.ledger] == []


def test_seeding_twice_changes_nothing() -> None:
    at = wallets(None)
    first = [reactions.carry_out(command, at)[0] for command in SEED]
    again = [reactions.carry_out(command, at)[0] for command in SEED]
    at.keep()
    assert first == again
    assert [wallet.balance for wallet in first] == [1_000_000, 500_000, 250_000]
    assert [entry.kind for entry in at.ledger] == [EntryKind.OPENING] * len(SEED)
