"""Top-ups through the gateway: every message in every state, and the wallet's limit."""

from datetime import timedelta

import msgspec
import pytest

from payment.commands import BeginTopUp, GiveUpTopUp, ResumeTopUp, SettleTopUp, not_booked
from payment.domain import MAX_BALANCE, Decision, EntryKind, GatewayOutcome, TopUp, TopUpState
from payment.external_calls import (
    EXTERNAL_CALL_SECONDS,
    Action,
    GatewayCall,
    Purpose,
    top_up_call,
)
from payment.reactions import reactions
from saga.errors import Conflict, NotFound
from tests.unit.handling import handle
from tests.unit.payment_fixtures import BEGAN, DUE, LATER, is_unchanged, top_up, unit_of_work

BEGIN = BeginTopUp(top_up_id="t", customer_id="c", amount=60)
GIVE_UP = GiveUpTopUp(top_up_id="t")
RESUME = ResumeTopUp(top_up_id="t")
RETRY_AT = LATER + timedelta(seconds=EXTERNAL_CALL_SECONDS)


def settle(outcome: GatewayOutcome) -> SettleTopUp:
    return SettleTopUp(top_up_id="t", decision=Decision(outcome=outcome))


ACTIONS = {
    TopUpState.INTENT: Action.CHARGE,
    TopUpState.VOIDING: Action.VOID,
    TopUpState.REFUNDING: Action.REFUND,
}
MESSAGES = {"GIVE_UP": GIVE_UP} | {outcome: settle(outcome) for outcome in GatewayOutcome}
MOVES = {
    (TopUpState.INTENT, "GIVE_UP"): TopUpState.VOIDING,
    (TopUpState.INTENT, GatewayOutcome.CAPTURED): TopUpState.BOOKED,
    (TopUpState.INTENT, GatewayOutcome.DECLINED): TopUpState.FAILED,
    (TopUpState.INTENT, GatewayOutcome.VOIDED): TopUpState.VOIDING,
    (TopUpState.VOIDING, GatewayOutcome.CAPTURED): TopUpState.REFUNDING,
    (TopUpState.VOIDING, GatewayOutcome.DECLINED): TopUpState.FAILED,
    (TopUpState.VOIDING, GatewayOutcome.VOIDED): TopUpState.VOIDING,
    (TopUpState.FAILED, GatewayOutcome.CAPTURED): TopUpState.REFUNDING,
    (TopUpState.REFUNDING, GatewayOutcome.REFUNDED): TopUpState.REFUNDED,
    (TopUpState.REFUNDING, GatewayOutcome.REFUND_REFUSED): TopUpState.BOOKED,
}


@pytest.mark.parametrize("name", MESSAGES)
@pytest.mark.parametrize("state", list(TopUpState))
def test_every_message_in_every_state(state: TopUpState, name: str) -> None:
    uow = unit_of_work(40, top_up(state))
    result = reactions.execute(MESSAGES[name], uow)
    uow.release()
    assert (result.value, result.events) == (uow.top_ups["t"], ())
    if (state, name) not in MOVES:
        assert is_unchanged(uow)
        return
    after = MOVES[state, name]
    action = None if name is GatewayOutcome.VOIDED else ACTIONS.get(after)
    row = uow.top_ups["t"]
    assert (row.state, row.updated_at) == (after, LATER)
    assert row.retry_at == (RETRY_AT if action else None)
    assert [call.action for call in uow.external_calls] == ([action] if action else [])
    booked = [(entry.kind, entry.delta, entry.balance_after) for entry in uow.ledger]
    is_booked = after is TopUpState.BOOKED
    assert booked == ([(EntryKind.CHARGE, 60, 100)] if is_booked else [])
    assert uow.wallets["c"].balance == (100 if is_booked else 40)


def test_top_up_is_recorded_before_the_gateway_is_called() -> None:
    uow = unit_of_work(0)
    begun = reactions.execute(BEGIN, uow).value
    uow.release()
    assert uow.top_ups.inserted == [begun]
    assert begun == TopUp(
        top_up_id="t",
        customer_id="c",
        amount=60,
        state=TopUpState.INTENT,
        created_at=LATER,
        updated_at=LATER,
        retry_at=RETRY_AT,
    )
    assert list(uow.external_calls) == [top_up_call(begun)]
    assert [*uow.wallets.updated, *uow.ledger] == []


def test_ledger_entry_names_its_top_up() -> None:
    uow = unit_of_work(0, top_up(TopUpState.INTENT))
    handle(reactions, settle(GatewayOutcome.CAPTURED), uow)
    (entry,) = uow.ledger
    assert (entry.top_up_id, entry.order_id, entry.created_at) == ("t", None, LATER)


def test_voided_top_up_is_settled_once() -> None:
    uow = unit_of_work(40, top_up(TopUpState.VOIDING))
    handle(reactions, settle(GatewayOutcome.VOIDED), uow)
    voided = uow.top_ups["t"]
    uow.now += timedelta(seconds=EXTERNAL_CALL_SECONDS)
    for message in (settle(GatewayOutcome.VOIDED), GIVE_UP, RESUME):
        handle(reactions, message, uow)
    assert uow.top_ups["t"] == voided
    assert list(uow.external_calls) == []


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        (TopUpState.FAILED, "DECLINED"),
        (TopUpState.VOIDING, "NO_ANSWER"),
        (TopUpState.REFUNDING, "REFUNDED"),
        (TopUpState.REFUNDED, "REFUNDED"),
    ],
)
def test_top_up_that_is_not_booked_names_the_outcome(state: TopUpState, outcome: str) -> None:
    reason = "the card has expired"
    error = not_booked(msgspec.structs.replace(top_up(state), fail_detail=reason))
    assert (error.status_code, error.code) == (502, "PAYMENT_GATEWAY_FAILED")
    assert error.details == {"outcome": outcome, "topUpId": "t", "failDetail": reason}


@pytest.mark.parametrize("command", [GIVE_UP, settle(GatewayOutcome.CAPTURED)])
def test_unknown_top_up_is_not_found(command: object) -> None:
    uow = unit_of_work(0)
    with pytest.raises(NotFound) as refused:
        reactions.execute(command, uow)
    assert refused.value.code == "TOP_UP_NOT_FOUND"


def test_unknown_wallet_is_not_topped_up() -> None:
    uow = unit_of_work(None)
    with pytest.raises(NotFound) as refused:
        reactions.execute(BEGIN, uow)
    assert refused.value.code == "WALLET_NOT_FOUND"


@pytest.mark.parametrize(("balance", "fits"), [(MAX_BALANCE - 60, True), (MAX_BALANCE - 59, False)])
def test_top_up_beyond_the_wallets_limit_is_refused(balance: int, fits: bool) -> None:
    uow = unit_of_work(balance)
    if fits:
        assert reactions.execute(BEGIN, uow).value.state is TopUpState.INTENT
        return
    with pytest.raises(Conflict) as refused:
        reactions.execute(BEGIN, uow)
    assert refused.value.code == "BALANCE_OUT_OF_RANGE"
    uow.roll_back()
    assert is_unchanged(uow)


def test_captured_money_that_no_longer_fits_is_refunded() -> None:
    uow = unit_of_work(MAX_BALANCE - 59, top_up(TopUpState.INTENT))
    handle(reactions, settle(GatewayOutcome.CAPTURED), uow)
    row = uow.top_ups["t"]
    assert (row.state, row.retry_at) == (TopUpState.REFUNDING, RETRY_AT)
    assert list(uow.external_calls) == [top_up_call(row)]
    assert [*uow.wallets.updated, *uow.ledger] == []


def test_refused_refund_that_does_not_fit_is_tried_again() -> None:
    uow = unit_of_work(MAX_BALANCE - 59, top_up(TopUpState.REFUNDING))
    handle(reactions, settle(GatewayOutcome.REFUND_REFUSED), uow)
    row = uow.top_ups["t"]
    assert row.state is TopUpState.REFUNDING
    assert row.retry_at in (DUE, RETRY_AT)
    assert set(uow.external_calls) <= {top_up_call(row)}
    assert [*uow.wallets.updated, *uow.ledger] == []


# ---------------------------------------------------------------- external calls


@pytest.mark.parametrize(("state", "action"), ACTIONS.items())
def test_external_call_of_each_state(state: TopUpState, action: Action) -> None:
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
    assert top_up_call(top_up(state)) == call
    assert call.refund_key != call.key
    for outcome in GatewayOutcome:
        assert call.command(Decision(outcome=outcome)) == settle(outcome)


@pytest.mark.parametrize("state", [TopUpState.BOOKED, TopUpState.FAILED])
def test_settled_top_up_needs_no_external_call(state: TopUpState) -> None:
    assert top_up_call(top_up(state)) is None


@pytest.mark.parametrize("state", ACTIONS)
def test_overdue_external_call_begins_again_unchanged(state: TopUpState) -> None:
    lost = msgspec.structs.replace(top_up(state), retry_at=LATER)
    uow = unit_of_work(0, lost)
    for _ in range(2):  # the second one finds it not due
        assert handle(reactions, RESUME, uow) == ()
    assert list(uow.external_calls) == [top_up_call(lost)]
    assert uow.top_ups["t"] == msgspec.structs.replace(lost, retry_at=RETRY_AT)


@pytest.mark.parametrize("state", [None, *TopUpState])
def test_external_call_not_due_is_not_begun_again(state: TopUpState | None) -> None:
    uow = unit_of_work(0, top_up(state) if state else None)
    assert handle(reactions, RESUME, uow) == ()
    assert is_unchanged(uow)
