"""The payment gateway of the model: whatever a gateway may do with a call, one move each.

A charge may be captured, declined, or stay in flight and land at any later time, unless its key was
voided by then. Any answer may be lost, come late, or come twice. A refund may be refused where the
scenario allows it. What is asked again under its key is answered as before.
"""

from collections.abc import Iterator
from enum import StrEnum

import msgspec

from payment.external_calls import Action, Errand, GatewayDecided, Outcome


class ChargeState(StrEnum):
    IN_FLIGHT = "IN_FLIGHT"
    CAPTURED = "CAPTURED"
    DECLINED = "DECLINED"
    VOIDED = "VOIDED"


class Outside(msgspec.Struct, frozen=True):
    """`errands` are asked for and not carried out yet, `answers` are on their way back."""

    charges: tuple[tuple[str, ChargeState], ...] = ()
    refunds: tuple[tuple[str, Outcome], ...] = ()
    errands: frozenset[Errand] = frozenset()
    answers: frozenset[GatewayDecided] = frozenset()
    refusals_left: int = 0

    @property
    def is_quiet(self) -> bool:
        in_flight = any(state is ChargeState.IN_FLIGHT for _, state in self.charges)
        return not self.errands and not self.answers and not in_flight

    def asked(self, *errands: Errand) -> "Outside":
        return msgspec.structs.replace(self, errands=self.errands | set(errands))

    def without(self, answer: GatewayDecided) -> "Outside":
        return msgspec.structs.replace(self, answers=self.answers - {answer})

    def moves(self) -> Iterator[tuple[str, "Outside"]]:
        """Everything that may happen at the gateway next."""
        for key, state in self.charges:
            if state is ChargeState.IN_FLIGHT:
                yield "the charge in flight lands", self._charged(key, ChargeState.CAPTURED)
        for errand in self.errands:
            yield f"{errand.action} is lost", self._dropped(errand)
            yield from self._carried_out(errand)

    def _carried_out(self, errand: Errand) -> Iterator[tuple[str, "Outside"]]:
        known = dict(self.charges).get(errand.key)
        if errand.action is Action.REFUND:
            yield from self._refunded(errand)
        elif known is None and errand.action is Action.CHARGE:
            for state in (ChargeState.CAPTURED, ChargeState.DECLINED, ChargeState.IN_FLIGHT):
                yield f"the charge is {state}", self._charged(errand.key, state)
        elif errand.action is Action.VOID and known in (None, ChargeState.IN_FLIGHT):
            yield "the key is voided", self._charged(errand.key, ChargeState.VOIDED)
        elif known is not None and known is not ChargeState.IN_FLIGHT:
            yield f"{errand.action} is answered {known}", self._answered(errand, Outcome[known])

    def _refunded(self, errand: Errand) -> Iterator[tuple[str, "Outside"]]:
        known = dict(self.refunds).get(errand.refund_key)
        if known is not None:
            yield f"REFUND is answered {known}", self._answered(errand, known)
            return
        if dict(self.charges).get(errand.key) is ChargeState.CAPTURED:
            yield "the money is given back", self._decided(errand.refund_key, Outcome.REFUNDED)
        if self.refusals_left:
            refused = self._decided(errand.refund_key, Outcome.REFUND_REFUSED)
            left = self.refusals_left - 1
            yield "the refund is refused", msgspec.structs.replace(refused, refusals_left=left)

    def _charged(self, key: str, state: ChargeState) -> "Outside":
        charges = tuple(sorted((dict(self.charges) | {key: state}).items()))
        return msgspec.structs.replace(self, charges=charges)

    def _decided(self, refund_key: str, outcome: Outcome) -> "Outside":
        refunds = tuple(sorted((dict(self.refunds) | {refund_key: outcome}).items()))
        return msgspec.structs.replace(self, refunds=refunds)

    def _dropped(self, errand: Errand) -> "Outside":
        return msgspec.structs.replace(self, errands=self.errands - {errand})

    def _answered(self, errand: Errand, outcome: Outcome) -> "Outside":
        """The answer is on its way; that it is lost is the errand's being lost."""
        command = errand.decided(outcome)
        assert isinstance(command, GatewayDecided)
        return msgspec.structs.replace(self._dropped(errand), answers=self.answers | {command})
