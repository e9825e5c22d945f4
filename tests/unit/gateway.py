"""A payment gateway in memory, and the payment service in exchange with it, in any order."""

from collections.abc import Collection

import msgspec

from payment.commands import SettlePayment, SettleTopUp
from payment.domain import Decision, GatewayOutcome
from payment.external_calls import Action, GatewayCall
from payment.reactions import reactions
from payment.unit_of_work import PaymentUnitOfWork
from saga.event import Event
from tests.unit.handling import handle


class Gateway:
    """Decides about each charge once, and pays one refund for each refund key.

    `declined` are keys of charges, `refused` keys of refunds. Without `fences`, a charge can land
    on a voided key.
    """

    def __init__(
        self,
        declined: Collection[str] = (),
        refused: Collection[str] = (),
        *,
        fences: bool = True,
    ) -> None:
        self._declined = declined
        self._refused = refused
        self._fences = fences
        self._charges: dict[str, GatewayOutcome] = {}
        self._amounts: dict[str, int] = {}
        self._refunds: dict[str, dict[str, int]] = {}

    def land(self, call: GatewayCall) -> GatewayOutcome:
        """Execute a call."""
        match call.action:
            case Action.CHARGE:
                return self._charge(call)
            case Action.VOID:
                return self._charges.setdefault(call.key, GatewayOutcome.VOIDED)
            case Action.REFUND:
                return self._refund(call)

    def held(self, key: str) -> int:
        """The amount captured under this key, less the refunds."""
        captured = self._charges.get(key) is GatewayOutcome.CAPTURED
        refunded = sum(self._refunds.get(key, {}).values())
        return (self._amounts[key] if captured else 0) - refunded

    def _charge(self, call: GatewayCall) -> GatewayOutcome:
        decision = (
            GatewayOutcome.DECLINED if call.key in self._declined else GatewayOutcome.CAPTURED
        )
        if self._charges.get(call.key) is GatewayOutcome.VOIDED and not self._fences:
            self._charges[call.key] = decision
        self._amounts[call.key] = call.amount
        return self._charges.setdefault(call.key, decision)

    def _refund(self, call: GatewayCall) -> GatewayOutcome:
        if call.refund_key in self._refused:
            return GatewayOutcome.REFUND_REFUSED
        self._refunds.setdefault(call.key, {})[call.refund_key] = call.amount
        return GatewayOutcome.REFUNDED


class Land(msgspec.Struct, frozen=True):
    """One of the external calls so far is executed, for the first time or again."""

    which: int


class Settle(msgspec.Struct, frozen=True):
    """One of the outcomes so far comes back, for the first time or again."""

    which: int


class Exchange:
    """The payment service and its gateway. Calls and outcomes wait until a step brings them."""

    def __init__(self, uow: PaymentUnitOfWork, gateway: Gateway) -> None:
        self.uow = uow
        self.gateway = gateway
        self.emitted: list[Event] = []
        self._outcomes: list[SettlePayment | SettleTopUp] = []

    @property
    def calls(self) -> list[GatewayCall]:
        return list(self.uow.external_calls)

    def do(self, step: object) -> None:
        """Bring a call or an outcome, or let the service handle a message."""
        if isinstance(step, Land):
            if calls := self.calls:
                self._land(calls[step.which % len(calls)])
        elif isinstance(step, Settle):
            if self._outcomes:
                self._handle(self._outcomes[step.which % len(self._outcomes)])
        else:
            self._handle(step)

    def settle(self) -> None:
        """Bring every call and its outcome once more, and those that follow from them."""
        done = 0
        while done < len(self.calls):
            self._handle(self._land(self.calls[done]))
            done += 1

    def _land(self, call: GatewayCall) -> SettlePayment | SettleTopUp:
        command = call.command(Decision(outcome=self.gateway.land(call)))
        self._outcomes.append(command)
        return command

    def _handle(self, message: object) -> None:
        self.emitted += handle(reactions, message, self.uow)
