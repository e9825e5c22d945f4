"""The payment gateway of the model: whatever a gateway may do with a call, one move each.

A charge may be captured, declined, or stay in flight and land at any later time, unless its key was
voided by then. Any answer may be lost, come late, or come twice. A refund may be refused where the
scenario allows it. What is asked again under its key is answered as before.
"""

from collections.abc import Iterator
from enum import StrEnum

import msgspec

from payment.commands import SettlePayment
from payment.domain import GatewayOutcome
from payment.external_calls import Action, GatewayCall


class ChargeState(StrEnum):
    IN_FLIGHT = "IN_FLIGHT"
    CAPTURED = "CAPTURED"
    DECLINED = "DECLINED"
    VOIDED = "VOIDED"


class Outside(msgspec.Struct, frozen=True):
    """`external_calls` are asked for and not carried out yet, `answers` are on their way back."""

    charges: tuple[tuple[str, ChargeState], ...] = ()
    refunds: tuple[tuple[str, GatewayOutcome], ...] = ()
    external_calls: frozenset[GatewayCall] = frozenset()
    answers: frozenset[SettlePayment] = frozenset()
    refusals_left: int = 0

    @property
    def is_quiet(self) -> bool:
        in_flight = any(state is ChargeState.IN_FLIGHT for _, state in self.charges)
        return not self.external_calls and not self.answers and not in_flight

    def asked(self, *external_calls: GatewayCall) -> "Outside":
        return msgspec.structs.replace(
            self, external_calls=self.external_calls | set(external_calls)
        )

    def without(self, answer: SettlePayment) -> "Outside":
        return msgspec.structs.replace(self, answers=self.answers - {answer})

    def moves(self) -> Iterator[tuple[str, "Outside"]]:
        """Everything that may happen at the gateway next."""
        for key, state in self.charges:
            if state is ChargeState.IN_FLIGHT:
                yield "the charge in flight lands", self._charged(key, ChargeState.CAPTURED)
        for call in self.external_calls:
            yield f"{call.action} is lost", self._dropped(call)
            yield from self._carried_out(call)

    def _carried_out(self, call: GatewayCall) -> Iterator[tuple[str, "Outside"]]:
        known = dict(self.charges).get(call.key)
        if call.action is Action.REFUND:
            yield from self._refunded(call)
        elif known is None and call.action is Action.CHARGE:
            for state in (ChargeState.CAPTURED, ChargeState.DECLINED, ChargeState.IN_FLIGHT):
                yield f"the charge is {state}", self._charged(call.key, state)
        elif call.action is Action.VOID and known in (None, ChargeState.IN_FLIGHT):
            yield "the key is voided", self._charged(call.key, ChargeState.VOIDED)
        elif known is not None and known is not ChargeState.IN_FLIGHT:
            yield (
                f"{call.action} is answered {known}",
                self._answered(call, GatewayOutcome[known]),
            )

    def _refunded(self, call: GatewayCall) -> Iterator[tuple[str, "Outside"]]:
        known = dict(self.refunds).get(call.refund_key)
        if known is not None:
            yield f"REFUND is answered {known}", self._answered(call, known)
            return
        if dict(self.charges).get(call.key) is ChargeState.CAPTURED:
            yield "the money is given back", self._decided(call.refund_key, GatewayOutcome.REFUNDED)
        if self.refusals_left:
            refused = self._decided(call.refund_key, GatewayOutcome.REFUND_REFUSED)
            left = self.refusals_left - 1
            yield "the refund is refused", msgspec.structs.replace(refused, refusals_left=left)

    def _charged(self, key: str, state: ChargeState) -> "Outside":
        charges = tuple(sorted((dict(self.charges) | {key: state}).items()))
        return msgspec.structs.replace(self, charges=charges)

    def _decided(self, refund_key: str, outcome: GatewayOutcome) -> "Outside":
        refunds = tuple(sorted((dict(self.refunds) | {refund_key: outcome}).items()))
        return msgspec.structs.replace(self, refunds=refunds)

    def _dropped(self, call: GatewayCall) -> "Outside":
        return msgspec.structs.replace(self, external_calls=self.external_calls - {call})

    def _answered(self, call: GatewayCall, outcome: GatewayOutcome) -> "Outside":
        """The answer is on its way; that it is lost is the errand's being lost."""
        command = call.command(outcome)
        assert isinstance(command, SettlePayment)
        return msgspec.structs.replace(self._dropped(call), answers=self.answers | {command})
