"""The payment gateway in the simulation: it answers late, twice or never, and keeps its records."""

import asyncio
import random
from collections import Counter
from collections.abc import Mapping
from enum import StrEnum

from events.contract import PERSONAL
from payment.commands import SettlePayment, SettleTopUp
from payment.domain import Decision, GatewayOutcome
from payment.external_calls import Action, GatewayCall
from saga.errors import Outage
from tests.correctness.simulation.broker import Hub
from user.commands import EndErasure
from user.unit_of_work import Purge

LATENCY_SECONDS = 0.05
HANGING_SECONDS = 8.0
LANDING_SECONDS = 20.0


class Behaviour(StrEnum):
    APPROVE = "approve"
    DECLINE = "decline"
    ERROR = "error: nothing has happened"
    HANG = "hang: nothing has happened"
    ODD_ANSWER = "answer something odd: nothing has happened"
    REFUSE = "refuse the request: nothing has happened"
    CAPTURE_AND_REFUSE = "capture, and refuse the request"
    CAPTURE_AND_LOSE = "capture, and lose the answer"
    LAND_LATE = "land late, unless it is voided"


NOTHING = (Behaviour.ERROR, Behaviour.HANG, Behaviour.ODD_ANSWER, Behaviour.REFUSE)
REFUSALS = (Behaviour.REFUSE, Behaviour.CAPTURE_AND_REFUSE)
NO_ANSWER = (Behaviour.CAPTURE_AND_LOSE, Behaviour.CAPTURE_AND_REFUSE)


class GatewayRecords:
    """The gateway. `charges` and `refunds` are its decisions by key; `landing` are charges that are
    captured later unless their key is voided. `trouble` and `refuses` are probabilities."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.trouble = 0.0
        self.refuses = 0.0
        self.declines = 0.1
        self.charges: dict[str, tuple[GatewayOutcome, int]] = {}
        self.landing: dict[str, tuple[float, int]] = {}
        self.refunds: dict[str, tuple[GatewayOutcome, str, int]] = {}
        self.faults = Counter[str]()
        self.hub: Hub | None = None

    def captured(self, key: str) -> int:
        """What is captured under this key and not refunded."""
        outcome, amount = self.charges.get(key, (None, 0))
        if outcome is not GatewayOutcome.CAPTURED:
            return 0
        back = sum(
            each
            for done, charge, each in self.refunds.values()
            if charge == key and done is GatewayOutcome.REFUNDED
        )
        return amount - back

    def of(self, service: str) -> "SimulatedGateway | SimulatedPurging":
        return SimulatedPurging(self) if service == "user" else SimulatedGateway(self)

    def calm(self) -> None:
        self.trouble = self.refuses = 0.0

    def advance(self, now_seconds: float) -> None:
        """Capture the late charges that are due."""
        for key, (due, amount) in list(self.landing.items()):
            if due <= now_seconds:
                del self.landing[key]
                self.charges[key] = (GatewayOutcome.CAPTURED, amount)

    def charge(self, call: GatewayCall, behaviour: Behaviour, now: float) -> GatewayOutcome | None:
        """The decision, or None where the client does not get it."""
        if call.key in self.charges:
            return self.charges[call.key][0]
        if call.key in self.landing or behaviour in NOTHING:
            return None
        if behaviour is Behaviour.LAND_LATE:
            due = now + self.chance.random() * LANDING_SECONDS
            self.landing[call.key] = (due, call.amount)
            return None
        declined = behaviour is Behaviour.DECLINE or self.chance.random() < self.declines
        outcome = GatewayOutcome.DECLINED if declined else GatewayOutcome.CAPTURED
        self.charges[call.key] = (outcome, call.amount)
        return None if behaviour in NO_ANSWER else outcome

    def void(self, key: str) -> GatewayOutcome:
        if key not in self.charges:
            self.landing.pop(key, None)
            self.charges[key] = (GatewayOutcome.VOIDED, 0)
        return self.charges[key][0]

    def refund(self, call: GatewayCall) -> GatewayOutcome:
        key = call.refund_key
        if key not in self.refunds:
            possible = self.captured(call.key) >= call.amount
            refused = not possible or self.chance.random() < self.refuses
            outcome = GatewayOutcome.REFUND_REFUSED if refused else GatewayOutcome.REFUNDED
            self.refunds[key] = (outcome, call.key, call.amount)
        return self.refunds[key][0]

    def fence(self, call: GatewayCall) -> GatewayOutcome:
        """What the client does after a refusal: void the charge, or look whether the money is back.

        The client's own way of doing so is tested over HTTP (tests/e2e/saga/test_odd_answers.py).
        """
        if call.action is Action.REFUND:
            is_back = self.captured(call.key) < call.amount
            return GatewayOutcome.REFUNDED if is_back else GatewayOutcome.REFUND_REFUSED
        done = self.void(call.key)
        return GatewayOutcome.DECLINED if done is GatewayOutcome.VOIDED else done


class SimulatedPurging:
    """The user service's way to the broker, as far as that forgets a person."""

    def __init__(self, systems: GatewayRecords) -> None:
        self._systems = systems

    async def __call__(self, call: Purge) -> EndErasure:
        hub = self._systems.hub
        await asyncio.sleep(self._systems.chance.random() * LATENCY_SECONDS)
        if hub is None or not hub.reaches("user"):
            raise Outage("the broker is away")
        stream = hub.streams.get(PERSONAL.name)
        if stream is not None:
            prefix = f"{PERSONAL.prefix}.{call.user_id}."
            held = stream.held()
            stream.delete([at for at, each in held if each.subject.startswith(prefix)])
        await asyncio.sleep(self._systems.chance.random() * LATENCY_SECONDS)
        return EndErasure(user_id=call.user_id)

    def problems(self) -> Mapping[str, str | None]:
        return {}

    async def close(self) -> None:
        """Nothing is open."""


class SimulatedGateway:
    """One instance's way to the gateway: an `ExternalSystem`."""

    def __init__(self, gateway: GatewayRecords) -> None:
        self._gateway = gateway

    async def __call__(self, call: GatewayCall) -> SettlePayment | SettleTopUp:
        gateway, loop = self._gateway, asyncio.get_running_loop()
        await asyncio.sleep(gateway.chance.random() * LATENCY_SECONDS)
        behaviour = self._behaviour()
        gateway.advance(loop.time())
        outcome: GatewayOutcome | None = None
        if call.action is Action.CHARGE:
            outcome = gateway.charge(call, behaviour, loop.time())
        elif behaviour not in NOTHING:
            done = gateway.void(call.key) if call.action is Action.VOID else None
            outcome = done or gateway.refund(call)
            if behaviour in NO_ANSWER:
                outcome = None
        if outcome is None and behaviour in REFUSALS and call.action is not Action.VOID:
            await asyncio.sleep(gateway.chance.random() * LATENCY_SECONDS)
            gateway.advance(loop.time())
            outcome = gateway.fence(call)
        if outcome is None:
            hangs = behaviour is Behaviour.HANG
            await asyncio.sleep(HANGING_SECONDS if hangs else LATENCY_SECONDS)
            raise Outage(behaviour)
        await asyncio.sleep(gateway.chance.random() * LATENCY_SECONDS)
        return call.command(Decision(outcome=outcome))

    def problems(self) -> Mapping[str, str | None]:
        return {}

    async def close(self) -> None:
        """Close the connections."""
        await asyncio.sleep(self._gateway.chance.random() * LATENCY_SECONDS)

    def _behaviour(self) -> Behaviour:
        gateway = self._gateway
        if gateway.chance.random() >= gateway.trouble:
            return Behaviour.APPROVE
        behaviour = gateway.chance.choice(list(Behaviour))
        gateway.faults[f"gateway: {behaviour}"] += 1
        return behaviour
