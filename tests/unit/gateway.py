"""A payment gateway that keeps books, and a service's dealings with it, in any order and twice."""

from collections.abc import Collection

import msgspec

from payment.domain import Wallets
from payment.external_calls import Action, GatewayCall, GatewayDecided, GatewayOutcome, TopUpDecided
from payment.reactions import reactions
from saga.event import Event
from tests.unit.handling import handle


class Gateway:
    """It decides about a charge once, and pays every refund that comes under a key of its own.

    `declined` are keys of charges, `refused` keys of refunds. One that does not fence lets a charge
    land on a key that was voided.
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
        """An errand gets through."""
        match call.action:
            case Action.CHARGE:
                return self._charge(call)
            case Action.VOID:
                return self._charges.setdefault(call.key, GatewayOutcome.VOIDED)
            case Action.REFUND:
                return self._refund(call)

    def held(self, key: str) -> int:
        """What was captured under this key, less what was refunded."""
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
    """One of the errands that were ever sent gets through, for the first time or again."""

    which: int


class Tell(msgspec.Struct, frozen=True):
    """One of the answers that were ever given comes back, for the first time or again."""

    which: int


class Dealings:
    """The payment service and its gateway. Errands and answers wait until somebody brings them."""

    def __init__(self, at: Wallets, gateway: Gateway) -> None:
        self.at = at
        self.gateway = gateway
        self.emitted: list[Event] = []
        self._answers: list[GatewayDecided | TopUpDecided] = []

    @property
    def sent(self) -> list[GatewayCall]:
        return list(self.at.external_calls)

    def go_on(self, step: object) -> None:
        """Bring something, or tell the service something else."""
        if isinstance(step, Land):
            if sent := self.sent:
                self._land(sent[step.which % len(sent)])
        elif isinstance(step, Tell):
            if self._answers:
                self._tell(self._answers[step.which % len(self._answers)])
        else:
            self._tell(step)

    def settle(self) -> None:
        """Bring every errand and its answer once more, and those that follow from them."""
        done = 0
        while done < len(self.sent):
            self._tell(self._land(self.sent[done]))
            done += 1

    def _land(self, call: GatewayCall) -> GatewayDecided | TopUpDecided:
        answer = call.decided(self.gateway.land(call))
        self._answers.append(answer)
        return answer

    def _tell(self, message: object) -> None:
        self.emitted += handle(reactions, message, self.at)
