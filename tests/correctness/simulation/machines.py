"""The simulated processes: production services on a simulated disk, broker and clock."""

import asyncio
import random
from collections import Counter
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from contextvars import Context, copy_context
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import import_module
from typing import Any, Protocol, TypeVar

import msgspec

from chassis.participant import Participant
from chassis.ports import Ports
from chassis.processing.messages import Done, IdempotencyKey
from chassis.service import Service
from chassis.settings import Settings, load
from saga import ids
from saga.errors import RetryLater
from tests.correctness.simulation.awaits import waiting_at
from tests.correctness.simulation.broker import Hub, SimulatedBroker
from tests.correctness.simulation.database import Disk, SimulatedDatabase
from tests.correctness.simulation.external import ExternalSystems
from tests.correctness.simulation.loop import LIFE, Aim, Life, SimulatedLoop

EPOCH = datetime(2030, 1, 1, tzinfo=UTC)
ANY_PORT = 1
DEAD_LETTERS_NOT_DONE = "SELECT id FROM dead_letters WHERE state IN ('OPEN', 'FAILED_AGAIN')"
EXTERNAL_CALLS_AT_ONCE = 2
"""Fewer than in production, to see them wait for each other."""

COMMAND_TIMEOUT_SECONDS = 8.0
"""After so long a client sends a request again."""

MAX_TASKS = 200

T = TypeVar("T")


class Deployment(Protocol):
    """The services of a choreography, and what is around them."""

    def __hash__(self) -> int: ...
    @property
    def participants(self) -> Mapping[str, Participant[Any]]: ...
    @property
    def environment(self) -> Mapping[str, str]:
        """The settings of all services, as environment variables."""

    def external_systems(self, chance: random.Random) -> ExternalSystems: ...


@cache
def disks(deployment: Deployment) -> dict[str, Disk]:
    """Made once: a schedule begins with them wiped."""
    return {name: Disk(each.schema) for name, each in deployment.participants.items()}


class Machine:
    """One instance of one service, which can be killed at any await and in any commit."""

    def __init__(self, cluster: "Cluster", service: str, number: int) -> None:
        self.name = f"{service}-{number}"
        self.service_name = service
        self.clock_ahead_seconds = 0.0
        self.service: Service[Any] | None = None
        self._cluster = cluster
        self._life: Life | None = None
        self._context = Context()

    @property
    def is_alive(self) -> bool:
        return self._life is not None and not self._life.is_over

    @property
    def is_connected(self) -> bool:
        return self.is_alive and self.service is not None and self.service.broker.connected

    def start(self) -> None:
        self._life = Life(self.name)
        self._context = copy_context()
        self._context.run(LIFE.set, self._life)
        self.service = self._context.run(self._make)
        starting = self._cluster.loop.create_task(self.service.start(), context=self._context)
        starting.add_done_callback(self._supervise, context=Context())

    def _supervise(self, starting: asyncio.Task[None]) -> None:
        """A process that can't start ends, and is started again a second later."""
        if starting.exception() is not None and self.is_alive:
            self.kill()
            self._cluster.loop.call_later(1.0, self._start_again, context=Context())

    def _start_again(self) -> None:
        if not self.is_alive:
            self.start()

    async def ask(self, command: object, key: IdempotencyKey | None) -> Done:
        """Send a request. Raises what it is refused with, and TimeoutError."""
        assert self.service is not None
        return await self._within(self.service.ask(command, key))

    async def join(self, call: object) -> Done | None:
        """Wait for an external call. Raises TimeoutError."""
        assert self.service is not None
        return await self._within(self.service.external_calls.join(call))

    async def redrive(self, letter_id: int) -> None:
        """As the operators' route does. Raises TimeoutError and RetryLater."""
        assert self.service is not None
        await self._within(self.service.redriving.redrive(letter_id))

    async def _within(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it in this process: killed with it, it never answers."""
        task = self._cluster.loop.create_task(work, context=self._context)
        answer: asyncio.Future[T] = self._cluster.loop.create_future()
        task.add_done_callback(lambda _: _pass_on(task, answer), context=Context())
        async with asyncio.timeout(COMMAND_TIMEOUT_SECONDS):
            return await answer

    def stop(self) -> None:
        """As SIGTERM: it begins to finish what is under way."""
        if self.is_alive and self.service is not None:
            self._cluster.loop.create_task(self.service.stop(), context=self._context)

    def kill_at_step(self, steps: int) -> None:
        """As kill -9, at one of its next steps."""
        if self._life is not None:
            self._cluster.loop.aim = Aim(self._life, steps, self.kill)

    def kill(self) -> None:
        """As kill -9: nothing that it was about to do is done."""
        if self._life is None or self._life.is_over:
            return
        cluster = self._cluster
        cluster.kills += 1
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
        participant = cluster.participants[name]
        database = SimulatedDatabase(cluster.disks[name], cluster.chance, self.kill_in_commit)
        settings = cluster.settings(name, self.name)
        ports = Ports(
            clock=self._clock,
            new_id=cluster.new_id,
            broker=SimulatedBroker(
                cluster.hub, participant.reactions, from_the_start=settings.recovery_mode
            ),
            database=lambda _: database,
        )
        external = cluster.external.of(name)
        service = Service(self._with_bugs(participant), settings, ports, external)
        service.external_calls._room = asyncio.Semaphore(EXTERNAL_CALLS_AT_ONCE)
        return service

    def _with_bugs(self, participant: Participant[Any]) -> Participant[Any]:
        """The participant, with code that raises as often as its disk says."""
        disk = self._cluster.disks[self.service_name]

        def load(*arguments: Any) -> Any:
            if disk.raises:
                disk.raises -= 1
                raise RuntimeError("a bug that shows now and then")
            return participant.load(*arguments)

        return msgspec.structs.replace(participant, load=load)

    def _clock(self) -> datetime:
        ahead = timedelta(seconds=self.clock_ahead_seconds)
        return EPOCH + timedelta(seconds=self._cluster.loop.time()) + ahead


class Cluster:
    """All machines of a schedule, and what is around them.

    `instances`: how many of a service, where it is not one. `restored` counts each service's
    restored databases. `facts` are the commands, by service, whose effect is in no event: operators
    book them again, also those whose answer was lost.
    """

    def __init__(
        self,
        deployment: Deployment,
        loop: SimulatedLoop,
        chance: random.Random,
        instances: Counter[str],
    ) -> None:
        self.loop = loop
        self.chance = chance
        self.participants = deployment.participants
        self.disks = disks(deployment)
        for disk in self.disks.values():
            disk.wipe()
        self.hub = Hub(chance)
        self.external = deployment.external_systems(chance)
        self.kills = 0
        self.places = Counter[str]()
        self.phases = Counter[str]()
        self.graveyard: list[Life] = []
        self.recovering: set[str] = set()
        self.stuck: list[str] = []
        self.restored = Counter[str]()
        self.facts: dict[str, list[object]] = {name: [] for name in self.participants}
        self._environment = deployment.environment
        self.machines = [
            Machine(self, service, number)
            for service in self.participants
            for number in range(instances[service] or 1)
        ]

    def start(self) -> None:
        for machine in self.machines:
            if not machine.is_alive:
                machine.start()

    async def redrive(self) -> None:
        """Operators redrive the dead letters, at any instance that is alive."""
        for service, disk in self.disks.items():
            for (letter_id,) in disk.rows(DEAD_LETTERS_NOT_DONE):
                machine = self.one(service)
                if machine is not None:
                    with suppress(TimeoutError, RetryLater):
                        await machine.redrive(letter_id)

    def of(self, service: str) -> list[Machine]:
        """All instances of a service."""
        return [each for each in self.machines if each.service_name == service]

    def has_caught_up(self, service: str) -> bool:
        """Has it adopted its own events, and handled all that others have published?"""
        handled = all(
            not durable.pending and durable.next_sequence > len(stream.messages)
            for stream in self.hub.streams.values()
            if (durable := stream.durables.get(service)) is not None
        )
        return handled and all(each.is_connected for each in self.of(service))

    def one(self, service: str) -> Machine | None:
        """An instance that is alive, if there is one."""
        alive = [each for each in self.machines if each.service_name == service and each.is_alive]
        return self.chance.choice(alive) if alive else None

    def new_id(self) -> str:
        milliseconds = round((EPOCH.timestamp() + self.loop.time()) * 1000)
        return ids.timed(milliseconds, self.chance.getrandbits(80))

    def calm(self) -> None:
        """All that was broken works again, and everything runs."""
        self.hub.calm()
        self.external.calm()
        for disk in self.disks.values():
            disk.calm()
        for machine in self.machines:
            machine.clock_ahead_seconds = 0.0
        self.start()

    def settings(self, service: str, instance: str) -> Settings:
        kind: type[Settings] = import_module(f"{service}.settings").Settings
        mode = {"QUARANTINE": str(int(service in self.recovering))}
        return load(kind, service, ANY_PORT, {"INSTANCE": instance, **mode, **self._environment})


def _pass_on(task: asyncio.Task[T], answer: asyncio.Future[T]) -> None:
    if answer.done() or task.cancelled():
        return
    error = task.exception()
    if error is None:
        answer.set_result(task.result())
    else:
        answer.set_exception(error)


def keep_tasks(loop: asyncio.AbstractEventLoop, coroutine: Any, **more: Any) -> asyncio.Task[Any]:
    """A task factory: a life remembers its tasks, to tell where they stand when it is killed."""
    task = asyncio.Task(coroutine, loop=loop, **more)
    context = more.get("context")
    life = context.get(LIFE) if context is not None else LIFE.get()
    if life is not None:
        if len(life.tasks) > MAX_TASKS:
            life.tasks = [each for each in life.tasks if not each.done()]
        life.tasks.append(task)
    return task
