"""The external systems of the model: whatever a payment gateway may do with a call, one move each.

A charge may be captured, declined, or stay in flight and land at any later time, unless its key was
voided by then. Any answer may be lost, come late, or come twice. A refund may be refused where the
scenario allows it. A second call under the same key gets the first answer.

The broker is one of them for the user service, which purges it.
"""

from collections.abc import Iterator
from enum import StrEnum

import msgspec

from payment.commands import SettlePayment
from payment.domain import Decision, GatewayOutcome
from payment.external_calls import Action, GatewayCall
from tests.correctness.model.description import Answer, short
from user.commands import EndErasure
from user.unit_of_work import Purge


class ChargeState(StrEnum):
    IN_FLIGHT = "IN_FLIGHT"
    CAPTURED = "CAPTURED"
    DECLINED = "DECLINED"
    VOIDED = "VOIDED"


class Gateway(msgspec.Struct, frozen=True):
    """`calls` are begun and not executed yet, `decided` are answers on their way back.

    `purges` are the calls to the broker; what is under way to a service is delivered all the same.
    """

    charges: tuple[tuple[str, ChargeState], ...] = ()
    refunds: tuple[tuple[str, GatewayOutcome], ...] = ()
    calls: frozenset[GatewayCall] = frozenset()
    decided: frozenset[SettlePayment] = frozenset()
    purges: frozenset[Purge] = frozenset()
    refusals_left: int = 0

    @property
    def is_quiet(self) -> bool:
        in_flight = any(state is ChargeState.IN_FLIGHT for _, state in self.charges)
        return not (self.calls or self.decided or self.purges or in_flight)

    @property
    def answers(self) -> Iterator[Answer]:
        for command in self.decided:
            words = f"payment gets {command.decision.outcome} for order {short(command.order_id)}"
            yield Answer(words, "payment", command)
        for purge in self.purges:
            words = f"the broker purges what it holds of user {short(purge.user_id)}"
            yield Answer(words, "user", EndErasure(user_id=purge.user_id))

    def asked(self, *calls: GatewayCall | Purge) -> "Gateway":
        purges = {each for each in calls if isinstance(each, Purge)}
        return msgspec.structs.replace(
            self, calls=self.calls | (set(calls) - purges), purges=self.purges | purges
        )

    def without(self, answer: Answer) -> "Gateway":
        if isinstance(answer.command, EndErasure):
            purges = self.purges - {Purge(answer.command.user_id)}
            return msgspec.structs.replace(self, purges=purges)
        return msgspec.structs.replace(self, decided=self.decided - {answer.command})

    def moves(self) -> Iterator[tuple[str, "Gateway"]]:
        """Everything that may happen at the gateway next."""
        for key, state in self.charges:
            if state is ChargeState.IN_FLIGHT:
                yield "the charge in flight lands", self._charged(key, ChargeState.CAPTURED)
        for purge in self.purges:
            yield "the purge is lost", msgspec.structs.replace(self, purges=self.purges - {purge})
        for call in self.calls:
            yield f"{call.action} is lost", self._dropped(call)
            yield from self._executed(call)

    def _executed(self, call: GatewayCall) -> Iterator[tuple[str, "Gateway"]]:
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

    def _refunded(self, call: GatewayCall) -> Iterator[tuple[str, "Gateway"]]:
        known = dict(self.refunds).get(call.refund_key)
        if known is not None:
            yield f"REFUND is answered {known}", self._answered(call, known)
            return
        if dict(self.charges).get(call.key) is ChargeState.CAPTURED:
            yield "the money is refunded", self._decided(call.refund_key, GatewayOutcome.REFUNDED)
        if self.refusals_left:
            refused = self._decided(call.refund_key, GatewayOutcome.REFUND_REFUSED)
            left = self.refusals_left - 1
            yield "the refund is refused", msgspec.structs.replace(refused, refusals_left=left)

    def _charged(self, key: str, state: ChargeState) -> "Gateway":
        charges = tuple(sorted((dict(self.charges) | {key: state}).items()))
        return msgspec.structs.replace(self, charges=charges)

    def _decided(self, refund_key: str, outcome: GatewayOutcome) -> "Gateway":
        refunds = tuple(sorted((dict(self.refunds) | {refund_key: outcome}).items()))
        return msgspec.structs.replace(self, refunds=refunds)

    def _dropped(self, call: GatewayCall) -> "Gateway":
        return msgspec.structs.replace(self, calls=self.calls - {call})

    def _answered(self, call: GatewayCall, outcome: GatewayOutcome) -> "Gateway":
        """The answer is under way. To lose it is the same as to lose the call."""
        command = call.command(Decision(outcome=outcome))
        assert isinstance(command, SettlePayment)
        return msgspec.structs.replace(self._dropped(call), decided=self.decided | {command})
