"""The simulated processes: production services on a simulated disk, broker, gateway and clock."""

import asyncio
import random
from collections import Counter
from contextvars import Context, copy_context
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

from coupon.app import participant as coupon
from infra.batch import Participant
from infra.ports import Ports
from infra.service import Service
from infra.settings import Settings, from_environment
from order.app import participant as order
from payment.app import participant as payment
from product.app import participant as product
from tests.simulation.broker import Hub, SimulatedBroker
from tests.simulation.database import Disk, SimulatedDatabase
from tests.simulation.gateway import Gateway, SimulatedGateway
from tests.simulation.loop import LIFE, Life, SimulatedLoop, waiting_at

EPOCH = datetime(2030, 1, 1, tzinfo=UTC)
PARTICIPANTS: dict[str, Participant[Any]] = {
    "order": order,
    "product": product,
    "coupon": coupon,
    "payment": payment,
}


@cache
def disks() -> dict[str, Disk]:
    """Made once: a schedule begins with them wiped."""
    return {name: Disk(each.schema) for name, each in PARTICIPANTS.items()}


class Machine:
    """One instance of one service, which can be killed at any await and in any commit."""

    def __init__(self, cluster: "Cluster", service: str, number: int) -> None:
        self.name = f"{service}-{number}"
        self.service_name = service
        self.clock_ahead_seconds = 0.0
        self.service: Service[Any] | None = None
        self._cluster = cluster
        self._life: Life | None = None

    @property
    def is_alive(self) -> bool:
        return self._life is not None and not self._life.is_over

    def start(self) -> None:
        self._life = Life(self.name)
        context = copy_context()
        context.run(LIFE.set, self._life)
        self.service = context.run(self._make)
        starting = self._cluster.loop.create_task(self.service.start(), context=context)
        starting.add_done_callback(self._supervise, context=Context())

    def _supervise(self, starting: asyncio.Task[None]) -> None:
        """A process that can't start ends, and is started again a second later."""
        if starting.exception() is not None and self.is_alive:
            self.kill()
            self._cluster.loop.call_later(1.0, self._start_again, context=Context())

    def _start_again(self) -> None:
        if not self.is_alive:
            self.start()

    def kill(self) -> None:
        """As kill -9: whatever it was about to do is not done."""
        if self._life is None or self._life.is_over:
            return
        cluster = self._cluster
        cluster.kills += 1
        if cluster.notes_places:
            cluster.places.update(waiting_at(self._life))
        cluster.loop.kill(self._life)
        cluster.graveyard.append(self._life)

    def kill_in_commit(self, phase: str) -> None:
        life = LIFE.get()
        for machine in self._cluster.machines:
            if machine._life is life:
                self._cluster.phases[f"{machine.service_name}: {phase} a commit"] += 1
                machine.kill()

    def _make(self) -> Service[Any]:
        cluster, name = self._cluster, self.service_name
        participant = PARTICIPANTS[name]
        database = SimulatedDatabase(cluster.disks[name], cluster.chance, self.kill_in_commit)
        ports = Ports(
            clock=self._clock,
            new_id=cluster.new_id,
            broker=SimulatedBroker(cluster.hub, participant.reactions),
            database=lambda _: database,
        )
        settings = cluster.settings(name, self.name)
        return Service(participant, settings, ports, SimulatedGateway(cluster.gateway))

    def _clock(self) -> datetime:
        ahead = timedelta(seconds=self.clock_ahead_seconds)
        return EPOCH + timedelta(seconds=self._cluster.loop.time()) + ahead


class Cluster:
    """All machines of a schedule, and the world around them."""

    def __init__(
        self,
        loop: SimulatedLoop,
        chance: random.Random,
        instances: Counter[str],
        environment: dict[str, str],
        *,
        notes_places: bool = True,
    ) -> None:
        self.loop = loop
        self.chance = chance
        self.notes_places = notes_places
        self.disks = disks()
        for disk in self.disks.values():
            disk.wipe()
        self.hub = Hub(chance)
        self.gateway = Gateway(chance)
        self.kills = 0
        self.places = Counter[str]()
        self.phases = Counter[str]()
        self.graveyard: list[Life] = []
        self._environment = environment
        self.machines = [
            Machine(self, service, number)
            for service in PARTICIPANTS
            for number in range(instances[service] or 1)
        ]

    def start(self) -> None:
        for machine in self.machines:
            if not machine.is_alive:
                machine.start()

    def one(self, service: str) -> Service[Any] | None:
        """An instance that is alive, if there is one."""
        alive = [each for each in self.machines if each.service_name == service and each.is_alive]
        return self.chance.choice(alive).service if alive else None

    def new_id(self) -> str:
        return str(UUID(int=self.chance.getrandbits(128), version=4))

    def settings(self, service: str, instance: str) -> Settings:
        return from_environment(service, {"INSTANCE": instance, **self._environment})


def keep_tasks(loop: asyncio.AbstractEventLoop, coroutine: Any, **more: Any) -> asyncio.Task[Any]:
    """A task factory: a life remembers its tasks, to tell where they stand when it is killed."""
    task = asyncio.Task(coroutine, loop=loop, **more)
    context = more.get("context")
    life = context.get(LIFE) if context is not None else LIFE.get()
    if life is not None:
        if len(life.tasks) > MOST_TASKS:
            life.tasks = [each for each in life.tasks if not each.done()]
        life.tasks.append(task)
    return task


MOST_TASKS = 200
