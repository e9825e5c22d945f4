"""What goes wrong in a schedule, drawn from its seed."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress

import msgspec

from saga.errors import Refused, RetryLater
from tests.correctness.simulation.database import FULL, LOCKED, SLOW_SECONDS
from tests.correctness.simulation.machines import Cluster

FEW_STEPS = 40
STEPS = 200
"""So far ahead a step is aimed at."""

PHASES = ("before", "in", "after")
MESSAGE_FAULTS = ("not_stored", "answer_lost", "ack_lost", "twice", "late")


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """`at_seconds` and `seconds` in virtual time. `which` chooses its victim, `how` the details."""

    kind: str
    at_seconds: float
    seconds: float
    which: int
    how: int

    def __str__(self) -> str:
        chosen = f"{self.kind} ({self.which}, {self.how})"
        return f"{self.at_seconds:6.2f} s  {chosen} for {self.seconds:.2f} s"


RESTORED = "a database is restored"
PURGED = "a stream is purged"
STORE_LOST = frozenset({"the broker's store is wiped", "the broker's store is set back", PURGED})
"""What is lost in the stream and in its producer's database at once is nowhere."""

RECOVERY_LOOK_SECONDS = 0.5
MAX_RECOVERY_SECONDS = 600
"""Released then, it is found not to have adopted all."""

Inject = Callable[[Cluster, Fault], Awaitable[None]]
"""Lets a fault happen, and returns when it is over."""


async def _kill(cluster: Cluster, fault: Fault) -> None:
    machine = cluster.machines[fault.which % len(cluster.machines)]
    machine.kill()
    await asyncio.sleep(fault.seconds)
    if not machine.is_alive:
        machine.start()


async def _kill_all(cluster: Cluster, fault: Fault) -> None:
    for machine in cluster.machines:
        machine.kill()
    await asyncio.sleep(fault.seconds)
    cluster.start()


async def _kill_at_step(cluster: Cluster, fault: Fault) -> None:
    machine = cluster.machines[fault.which % len(cluster.machines)]
    machine.kill_at_step(1 + fault.how % STEPS)
    await asyncio.sleep(fault.seconds)
    cluster.start()
    machine.kill_at_step(1 + fault.how % FEW_STEPS)  # once more, while it starts
    await asyncio.sleep(fault.seconds)
    cluster.loop.aim = None
    cluster.start()


async def _restart(cluster: Cluster, fault: Fault) -> None:
    """As a deployment does it: SIGTERM, and SIGKILL to what has not ended in time."""
    machine = cluster.machines[fault.which % len(cluster.machines)]
    machine.stop()
    if fault.how % 2:
        machine.kill_at_step(1 + fault.how // 2 % FEW_STEPS)
    await asyncio.sleep(fault.seconds)
    cluster.loop.aim = None
    machine.kill()
    machine.start()


async def _bug(cluster: Cluster, fault: Fault) -> None:
    """Code that raises, until it is repaired; then the dead letters are redriven.

    Often the redrive is interrupted by a kill.
    """
    service = list(cluster.disks)[fault.which % len(cluster.disks)]
    cluster.disks[service].raises = 2 + fault.how % 6
    await asyncio.sleep(fault.seconds)
    cluster.disks[service].raises = 0
    machine = cluster.one(service)
    if machine is not None and fault.how // 6 % 2:
        machine.kill_at_step(1 + fault.how // 12 % (FEW_STEPS // 2))
    await cluster.redrive()
    cluster.loop.aim = None
    cluster.start()


async def _kill_in_commit(cluster: Cluster, fault: Fault) -> None:
    service = list(cluster.disks)[fault.which % len(cluster.disks)]
    phase = PHASES[fault.how % len(PHASES)]
    cluster.disks[service].kill_in = (fault.how // len(PHASES) % 5, phase)
    await asyncio.sleep(fault.seconds)
    cluster.disks[service].kill_in = None
    cluster.start()


def _outage(error: str) -> Inject:
    async def fault_(cluster: Cluster, fault: Fault) -> None:
        disk = list(cluster.disks.values())[fault.which % len(cluster.disks)]
        disk.outage = error
        await asyncio.sleep(fault.seconds)
        disk.outage = None

    return fault_


async def _slow(cluster: Cluster, fault: Fault) -> None:
    """A service that takes up to two seconds for each transaction: it falls behind."""
    disk = list(cluster.disks.values())[fault.which % len(cluster.disks)]
    disk.slow_seconds = 1.0
    await asyncio.sleep(fault.seconds)
    disk.slow_seconds = SLOW_SECONDS


async def _broker_away(cluster: Cluster, fault: Fault) -> None:
    cluster.hub.is_up = False
    await asyncio.sleep(fault.seconds)
    cluster.hub.is_up = True


async def _broker_wiped(cluster: Cluster, fault: Fault) -> None:
    cluster.hub.is_up = False
    cluster.hub.wipe()
    await asyncio.sleep(fault.seconds / 4)
    cluster.hub.is_up = True


async def _broker_set_back(cluster: Cluster, fault: Fault) -> None:
    cluster.hub.remember()
    await asyncio.sleep(fault.seconds)
    cluster.hub.is_up = False
    cluster.hub.set_back()
    await asyncio.sleep(1)
    cluster.hub.is_up = True


async def _purged(cluster: Cluster, fault: Fault) -> None:
    """Wholly, up to a sequence, one key's messages, or a single message; no connection is lost."""
    streams = cluster.hub.streams
    if not streams:
        return
    stream = streams[sorted(streams)[fault.which % len(streams)]]
    held = dict(stream.held())
    if not held:
        return
    chosen = list(held)[fault.how // 4 % len(held)]
    key = held[chosen].subject.split(".")[1]
    which = (
        held,
        [each for each in held if each <= chosen],
        [each for each, message in held.items() if message.subject.split(".")[1] == key],
        [chosen],
    )
    stream.delete(which[fault.how % 4])


async def _cut_off(cluster: Cluster, fault: Fault) -> None:
    service = list(cluster.disks)[fault.which % len(cluster.disks)]
    cluster.hub.cut_off.add(service)
    await asyncio.sleep(fault.seconds)
    cluster.hub.cut_off.discard(service)


async def _restored(cluster: Cluster, fault: Fault) -> None:
    """A service's database is lost, restored from a backup, and caught up in recovery mode."""
    service = list(cluster.disks)[fault.which % len(cluster.disks)]
    if cluster.recovering:
        return  # one at a time: what two services have both lost is nowhere
    backup = cluster.disks[service].copy()
    await asyncio.sleep(fault.seconds)
    if cluster.recovering:
        return
    cluster.recovering.add(service)
    cluster.restored[service] += 1
    for machine in cluster.of(service):
        machine.kill()
    cluster.disks[service].restore(backup)
    cluster.start()
    if fault.how % 2:
        cluster.of(service)[0].kill_at_step(1 + fault.how // 2 % STEPS)
    given_up_at = cluster.loop.time() + MAX_RECOVERY_SECONDS
    while not cluster.has_caught_up(service) and cluster.loop.time() < given_up_at:
        await asyncio.sleep(RECOVERY_LOOK_SECONDS)
        cluster.start()
    if not cluster.has_caught_up(service):
        cluster.stuck.append(f"{service} has not caught up in recovery mode")
    cluster.loop.aim = None
    bookings = cluster.participants[service].bookings
    facts = list(cluster.facts[service])
    await _book(cluster, service, [each for each in facts if isinstance(each, bookings)])
    cluster.recovering.discard(service)
    for machine in cluster.of(service):
        machine.kill()
        machine.start()
    await _book(cluster, service, [each for each in facts if not isinstance(each, bookings)])


async def _book(cluster: Cluster, service: str, facts: Sequence[object]) -> None:
    """Operators book what the database lacks; what it has is booked once."""
    for fact in facts:
        is_booked = False
        while not is_booked:
            machine = cluster.one(service)
            with suppress(RetryLater, TimeoutError, RuntimeError):
                if machine is not None:
                    with suppress(Refused):
                        await machine.ask(fact, None)
                    is_booked = True
            if not is_booked:
                await asyncio.sleep(RECOVERY_LOOK_SECONDS)


def _messages(name: str) -> Inject:
    async def fault_(cluster: Cluster, fault: Fault) -> None:
        setattr(cluster.hub, name, 0.3)
        await asyncio.sleep(fault.seconds)
        setattr(cluster.hub, name, 0.0)

    return fault_


async def _clock_jump(cluster: Cluster, fault: Fault) -> None:
    """A machine's clock is wrong for a while, by up to a minute either way."""
    machine = cluster.machines[fault.which % len(cluster.machines)]
    machine.clock_ahead_seconds = float(fault.how % 121 - 60)
    await asyncio.sleep(fault.seconds)
    machine.clock_ahead_seconds = 0.0


KINDS: Mapping[str, Inject] = {
    "kill -9": _kill,
    "kill -9 of everything": _kill_all,
    "kill -9 in a commit": _kill_in_commit,
    "kill -9 at an await": _kill_at_step,
    "a restart": _restart,
    "code that raises": _bug,
    "a database is locked": _outage(LOCKED),
    "a disk is full": _outage(FULL),
    "a consumer is slow": _slow,
    "the broker is away": _broker_away,
    "the broker's store is wiped": _broker_wiped,
    "the broker's store is set back": _broker_set_back,
    PURGED: _purged,
    "a service is cut off": _cut_off,
    **{f"messages: {name}": _messages(name) for name in MESSAGE_FAULTS},
    "a clock jumps": _clock_jump,
    RESTORED: _restored,
}
"""The faults that every choreography meets."""


def draw(
    kinds_: Mapping[str, Inject], chance: random.Random, count: int, within_seconds: float
) -> list[Fault]:
    """The faults of a schedule, in the order of their time."""
    weights = [5 if kind.startswith("kill -9") else 2 for kind in kinds_]
    kinds = chance.choices(list(kinds_), weights, k=count)
    faults = [
        Fault(
            kind=kind,
            at_seconds=chance.random() * within_seconds,
            seconds=0.1 + chance.random() ** 3 * 6,
            which=chance.randrange(1000),
            how=chance.randrange(1000),
        )
        for kind in kinds
    ]
    if any(fault.kind == RESTORED for fault in faults):
        faults = [fault for fault in faults if fault.kind not in STORE_LOST]
    return sorted(faults, key=lambda fault: fault.at_seconds)
