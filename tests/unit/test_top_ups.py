"""Top-ups through the gateway: every message in every state, and the wallet's limit."""

from datetime import timedelta

import msgspec
import pytest

from payment.domain import (
    EXTERNAL_CALL_SECONDS,
    MAX_BALANCE,
    BeginTopUp,
    EntryKind,
    GiveUpTopUp,
    ResumeTopUp,
    TopUp,
    TopUpState,
)
from payment.external_calls import Action, GatewayCall, GatewayOutcome, Purpose, TopUpDecided
from payment.reactions import reactions
from saga.errors import Conflict, NotFound
from tests.unit.handling import handle
from tests.unit.wallets import BEGAN, DUE, LATER, is_untouched, top_up, wallets

BEGIN = BeginTopUp(top_up_id="t", customer_id="c", amount=60)
GIVE_UP = GiveUpTopUp(top_up_id="t")
RESUME = ResumeTopUp(top_up_id="t")
RETRY_AT = LATER + timedelta(seconds=EXTERNAL_CALL_SECONDS)


def decided(outcome: GatewayOutcome) -> TopUpDecided:
    return TopUpDecided(top_up_id="t", outcome=outcome)


ACTIONS = {
    TopUpState.INTENT: Action.CHARGE,
    TopUpState.VOIDING: Action.VOID,
    TopUpState.REFUNDING: Action.REFUND,
}
MESSAGES = {"GIVE_UP": GIVE_UP} | {outcome: decided(outcome) for outcome in GatewayOutcome}
MOVES = {
    (TopUpState.INTENT, "GIVE_UP"): TopUpState.VOIDING,
    (TopUpState.INTENT, GatewayOutcome.CAPTURED): TopUpState.BOOKED,
    (TopUpState.INTENT, GatewayOutcome.DECLINED): TopUpState.FAILED,
    (TopUpState.INTENT, GatewayOutcome.VOIDED): TopUpState.FAILED,
    (TopUpState.VOIDING, GatewayOutcome.CAPTURED): TopUpState.REFUNDING,
    (TopUpState.VOIDING, GatewayOutcome.DECLINED): TopUpState.FAILED,
    (TopUpState.VOIDING, GatewayOutcome.VOIDED): TopUpState.FAILED,
    (TopUpState.FAILED, GatewayOutcome.CAPTURED): TopUpState.REFUNDING,
    (TopUpState.REFUNDING, GatewayOutcome.REFUNDED): TopUpState.REFUNDED,
    (TopUpState.REFUNDING, GatewayOutcome.REFUND_REFUSED): TopUpState.BOOKED,
}


@pytest.mark.parametrize("name", MESSAGES)
@pytest.mark.parametrize("state", list(TopUpState))
def test_every_message_in_every_state(state: TopUpState, name: str) -> None:
    at = wallets(40, top_up(state))
    answer = reactions.execute(MESSAGES[name], at)
    at.release()
    assert (answer.value, answer.events) == (at.top_ups["t"], ())
    if (state, name) not in MOVES:
        assert is_untouched(at)
        return
    after = MOVES[state, name]
    action = ACTIONS.get(after)
    row = at.top_ups["t"]
    assert (row.state, row.updated_at) == (after, LATER)
    assert row.retry_at == (RETRY_AT if action else None)
    assert [call.action for call in at.external_calls] == ([action] if action else [])
    booked = [(entry.kind, entry.delta, entry.balance_after) for entry in at.ledger]
    is_booked = after is TopUpState.BOOKED
    assert booked == ([(EntryKind.CHARGE, 60, 100)] if is_booked else [])
    assert at.wallets["c"].balance == (100 if is_booked else 40)


def test_a_top_up_is_noted_before_the_gateway_is_asked() -> None:
    at = wallets(0)
    begun = reactions.execute(BEGIN, at).value
    at.release()
    assert at.top_ups.inserted == [begun]
    assert begun == TopUp(
        top_up_id="t",
        customer_id="c",
        amount=60,
        state=TopUpState.INTENT,
        created_at=LATER,
        updated_at=LATER,
        retry_at=RETRY_AT,
    )
    assert list(at.external_calls) == [begun.call]
    assert [*at.wallets.updated, *at.ledger] == []


def test_what_was_booked_names_its_top_up() -> None:
    at = wallets(0, top_up(TopUpState.INTENT))
    handle(reactions, decided(GatewayOutcome.CAPTURED), at)
    (entry,) = at.ledger
    assert (entry.top_up_id, entry.order_id, entry.created_at) == ("t", None, LATER)


# ---------------------------------------------------------------- what can not be


@pytest.mark.parametrize("command", [GIVE_UP, decided(GatewayOutcome.CAPTURED)])
def test_a_top_up_that_nobody_began_is_not_found(command: object) -> None:
    at = wallets(0)
    with pytest.raises(NotFound) as refused:
        reactions.execute(command, at)
    assert refused.value.code == "TOP_UP_NOT_FOUND"


def test_a_wallet_that_is_not_there_is_not_topped_up() -> None:
    at = wallets(None)
    with pytest.raises(NotFound) as refused:
        reactions.execute(BEGIN, at)
    assert refused.value.code == "WALLET_NOT_FOUND"


@pytest.mark.parametrize(("balance", "fits"), [(MAX_BALANCE - 60, True), (MAX_BALANCE - 59, False)])
def test_nobody_is_asked_for_more_than_the_wallet_can_hold(balance: int, fits: bool) -> None:
    at = wallets(balance)
    if fits:
        assert reactions.execute(BEGIN, at).value.state is TopUpState.INTENT
        return
    with pytest.raises(Conflict) as refused:
        reactions.execute(BEGIN, at)
    assert refused.value.code == "BALANCE_OUT_OF_RANGE"
    at.roll_back()
    assert is_untouched(at)


def test_what_does_not_fit_into_the_wallet_any_more_goes_back() -> None:
    at = wallets(MAX_BALANCE - 59, top_up(TopUpState.INTENT))
    handle(reactions, decided(GatewayOutcome.CAPTURED), at)
    row = at.top_ups["t"]
    assert (row.state, row.retry_at) == (TopUpState.REFUNDING, RETRY_AT)
    assert list(at.external_calls) == [row.call]
    assert [*at.wallets.updated, *at.ledger] == []


def test_what_neither_fits_nor_goes_back_is_neither_booked_nor_given_up() -> None:
    at = wallets(MAX_BALANCE - 59, top_up(TopUpState.REFUNDING))
    handle(reactions, decided(GatewayOutcome.REFUND_REFUSED), at)
    row = at.top_ups["t"]
    assert row.state is TopUpState.REFUNDING
    assert row.retry_at in (DUE, RETRY_AT)
    assert set(at.external_calls) <= {row.call}
    assert [*at.wallets.updated, *at.ledger] == []


# ---------------------------------------------------------------- errands


@pytest.mark.parametrize(("state", "action"), ACTIONS.items())
def test_what_is_wanted_of_the_gateway(state: TopUpState, action: Action) -> None:
    call = GatewayCall(
        action=action,
        purpose=Purpose.TOP_UP,
        subject="t",
        key="t",
        customer_id="c",
        amount=60,
        attempt=0,
        began_at=BEGAN,
    )
    assert top_up(state).call == call
    assert call.refund_key != call.key
    for outcome in GatewayOutcome:
        assert call.decided(outcome) == decided(outcome)


@pytest.mark.parametrize("state", [TopUpState.BOOKED, TopUpState.FAILED])
def test_nothing_is_wanted_for_a_top_up_that_is_settled(state: TopUpState) -> None:
    assert top_up(state).call is None


@pytest.mark.parametrize("state", ACTIONS)
def test_an_errand_that_was_lost_is_sent_for_again_unchanged(state: TopUpState) -> None:
    lost = msgspec.structs.replace(top_up(state), retry_at=LATER)
    at = wallets(0, lost)
    for _ in range(2):  # the second finds that it is not due
        assert handle(reactions, RESUME, at) == ()
    assert list(at.external_calls) == [lost.call]
    assert at.top_ups["t"] == msgspec.structs.replace(lost, retry_at=RETRY_AT)


@pytest.mark.parametrize("state", [None, *TopUpState])
def test_an_errand_that_is_not_due_is_left_alone(state: TopUpState | None) -> None:
    at = wallets(0, top_up(state) if state else None)
    assert handle(reactions, RESUME, at) == ()
    assert is_untouched(at)
