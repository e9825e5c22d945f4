"""A payment gateway that keeps books, and a service's dealings with it, in any order and twice."""

from collections.abc import Collection

import msgspec

from events.contract import Event
from payment.domain import Wallets
from payment.external_calls import Action, Errand, GatewayDecided, Outcome, TopUpDecided
from payment.reactions import reactions
from tests.unit.telling import tell


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
        self._charges: dict[str, Outcome] = {}
        self._amounts: dict[str, int] = {}
        self._refunds: dict[str, dict[str, int]] = {}

    def land(self, errand: Errand) -> Outcome:
        """An errand gets through."""
        match errand.action:
            case Action.CHARGE:
                return self._charge(errand)
            case Action.VOID:
                return self._charges.setdefault(errand.key, Outcome.VOIDED)
            case Action.REFUND:
                return self._refund(errand)

    def held(self, key: str) -> int:
        """What was captured under this key, less what was refunded."""
        captured = self._charges.get(key) is Outcome.CAPTURED
        refunded = sum(self._refunds.get(key, {}).values())
        return (self._amounts[key] if captured else 0) - refunded

    def _charge(self, errand: Errand) -> Outcome:
        decision = Outcome.DECLINED if errand.key in self._declined else Outcome.CAPTURED
        if self._charges.get(errand.key) is Outcome.VOIDED and not self._fences:
            self._charges[errand.key] = decision
        self._amounts[errand.key] = errand.amount
        return self._charges.setdefault(errand.key, decision)

    def _refund(self, errand: Errand) -> Outcome:
        if errand.refund_key in self._refused:
            return Outcome.REFUND_REFUSED
        self._refunds.setdefault(errand.key, {})[errand.refund_key] = errand.amount
        return Outcome.REFUNDED


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
        self.said: list[Event] = []
        self._answers: list[GatewayDecided | TopUpDecided] = []

    @property
    def sent(self) -> list[Errand]:
        return list(self.at.errands)

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

    def _land(self, errand: Errand) -> GatewayDecided | TopUpDecided:
        answer = errand.decided(self.gateway.land(errand))
        self._answers.append(answer)
        return answer

    def _tell(self, message: object) -> None:
        self.said += tell(reactions, message, self.at)
