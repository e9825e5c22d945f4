"""JetStream in the simulation: streams, durables, and everything that can go wrong with them."""

import asyncio
import copy
import random
from collections import defaultdict
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from chassis.broker.declaration import ACK_WAIT_SECONDS
from chassis.broker.streams import DUPLICATE_WINDOW_SECONDS
from chassis.ports import OutgoingMessage, Receiver, StoredMessage, StreamPosition, StreamState
from saga.envelope import EVENT_ID, MESSAGE_ID, name_in
from saga.errors import BrokerAway, Outage
from saga.reactions import Reactions
from tests.correctness.simulation.loop import LIFE

LATENCY_SECONDS = 0.01
CONGESTED_SECONDS = 0.5
RECONNECT_SECONDS = 0.5
AT_ONCE = 64
LOOK_SECONDS = 1.0


@dataclass
class Durable:
    """`pending` are the sequences that are delivered and not acknowledged, with their deadline."""

    handles: frozenset[str]
    next_sequence: int = 1
    pending: dict[int, float] = field(default_factory=dict)


@dataclass
class Stream:
    """`messages` by their sequences less one; None where one was deleted or replaced."""

    newest_only: bool = False
    messages: list[OutgoingMessage | None] = field(default_factory=list)
    known: dict[str, tuple[float, int]] = field(default_factory=dict)
    durables: dict[str, Durable] = field(default_factory=dict)

    def held(self, after: int = 0) -> Iterator[tuple[int, OutgoingMessage]]:
        """The messages behind a sequence, with their own."""
        for sequence, message in enumerate(self.messages[after:], after + 1):
            if message is not None:
                yield sequence, message

    def at(self, sequence: int) -> OutgoingMessage | None:
        return self.messages[sequence - 1] if 0 < sequence <= len(self.messages) else None

    def delete(self, sequences: Iterable[int]) -> None:
        """They are not delivered any more either."""
        for sequence in sequences:
            self.messages[sequence - 1] = None
            for durable in self.durables.values():
                durable.pending.pop(sequence, None)

    def state(self) -> StreamState:
        held = [sequence for sequence, _ in self.held()]
        first = held[0] if held else len(self.messages) + 1
        return StreamState(
            first_sequence=first,
            messages=len(held),
            gaps=held[-1] - first + 1 - len(held) if held else 0,
        )

    def gaps(self) -> list[int]:
        held = [sequence for sequence, _ in self.held()]
        return sorted(set(range(held[0], held[-1])) - set(held)) if held else []


class Hub:
    """The broker. Each probability is that one message goes wrong in this way."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.acks_under_way: set[asyncio.Task[None]] = set()
        self.streams: dict[str, Stream] = {}
        self.is_up = True
        self.cut_off: set[str] = set()
        self.copy: dict[str, Stream] | None = None
        self.not_stored = self.answer_lost = self.ack_lost = self.twice = self.late = 0.0
        self.grown: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.faults: dict[str, int] = {}

    def reaches(self, service: str) -> bool:
        return self.is_up and service not in self.cut_off

    def wipe(self) -> None:
        self.streams = {}

    def remember(self) -> None:
        self.copy = copy.deepcopy(self.streams)

    def set_back(self) -> None:
        if self.copy is not None:
            self.streams, self.copy = self.copy, None

    def calm(self) -> None:
        """Nothing goes wrong any more."""
        self.is_up = True
        self.cut_off = set()
        self.not_stored = self.answer_lost = self.ack_lost = self.twice = self.late = 0.0

    def happens(self, name: str) -> bool:
        """Does this go wrong now? Counted when it does."""
        probability: float = getattr(self, name)
        if not probability or self.chance.random() >= probability:
            return False
        self.faults[name] = self.faults.get(name, 0) + 1
        return True

    def store(self, stream: Stream, message: OutgoingMessage, now: float) -> int:
        """The message's sequence. A duplicate is not stored again, unless it was deleted."""
        message_id = message.headers[MESSAGE_ID]
        known = stream.known.get(message_id)
        if known is not None and now - known[0] < DUPLICATE_WINDOW_SECONDS and stream.at(known[1]):
            return known[1]
        if stream.newest_only:
            stream.delete([at for at, each in stream.held() if each.subject == message.subject])
        stream.messages.append(message)
        sequence = len(stream.messages)
        stream.known[message_id] = (now, sequence)
        name = name_in(message.subject)
        for service, durable in stream.durables.items():
            if name in durable.handles:
                self.grown[service].set()
        return sequence


class SimulatedDelivery:
    def __init__(
        self, hub: Hub, durable: Durable, stream: str, sequence: int, message: OutgoingMessage
    ):
        self._hub = hub
        self._durable = durable
        self.stream = stream
        self.sequence = sequence
        self.subject = message.subject
        self.body = message.body
        self.headers: Mapping[str, str] = message.headers
        self.letter_id = None

    def ack(self) -> None:
        """It arrives after a while, unless it is lost or its process is killed."""
        if not self._hub.happens("ack_lost"):
            task = asyncio.create_task(self._arrive())
            self._hub.acks_under_way.add(task)
            task.add_done_callback(self._hub.acks_under_way.discard)

    async def _arrive(self) -> None:
        await self._pause()
        self._durable.pending.pop(self.sequence, None)

    async def in_progress(self) -> None:
        await self._pause()
        if self.sequence in self._durable.pending:
            now = asyncio.get_running_loop().time()
            self._durable.pending[self.sequence] = now + ACK_WAIT_SECONDS

    async def _pause(self) -> None:
        """A client usually only buffers it; sometimes it waits for a congested connection."""
        if self._hub.chance.random() < 0.2:
            congested = self._hub.chance.random() < 0.1
            seconds = CONGESTED_SECONDS if congested else LATENCY_SECONDS
            await asyncio.sleep(self._hub.chance.random() * seconds)


class SimulatedBroker:
    """A `Broker` for one instance of a service. In recovery mode it delivers all once more."""

    is_full = False

    def __init__(self, hub: Hub, registry: Reactions, *, from_the_start: bool = False) -> None:
        self._from_the_start = from_the_start
        self._hub = hub
        self._service = registry.service
        self._registry = registry
        self._ready = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._delivers = True
        self._streams: dict[str, Stream] | None = None

    @property
    def connected(self) -> bool:
        """On a verified connection that is not broken unnoticed."""
        reached = self._hub.reaches(self._service)
        return self._ready.is_set() and reached and self._hub.streams is self._streams

    async def start(
        self, receive: Receiver, room: Callable[[], int], verify: Callable[[], Awaitable[None]]
    ) -> None:
        await self._pause()
        self._task = asyncio.create_task(self._live(receive, room, verify))
        life = LIFE.get()
        if life is not None:
            life.tasks.append(self._task)

    async def publish(self, messages: Sequence[OutgoingMessage]) -> list[int | None]:
        await self._pause()
        loop, streams = asyncio.get_running_loop(), self._hub.streams
        found: list[int | None] = []
        for message in messages:
            stream = self._hub.streams.get(self._stream_of(message.subject))
            if stream is None or not self.connected or self._hub.happens("not_stored"):
                found.append(None)
                continue
            sequence = self._hub.store(stream, message, loop.time())
            found.append(None if self._hub.happens("answer_lost") else sequence)
        await self._pause()
        is_same = self._hub.streams is streams and self.connected
        return found if is_same else [None] * len(found)  # acks are lost with the connection

    async def wait_connected(self) -> None:
        await self._ready.wait()

    def resume(self) -> None:
        self._hub.grown[self._service].set()

    async def stream_state(self, stream: str) -> StreamState:
        await self._ask()
        held = self._hub.streams.get(stream)
        return held.state() if held is not None else StreamState()

    async def gaps(self, stream: str) -> list[int]:
        await self._ask()
        return self._hub.streams.get(stream, Stream()).gaps()

    async def event_at(self, stream: str, sequence: int) -> str | None:
        if self._hub.chance.random() < 0.1:
            await self._pause()
        if not self._hub.reaches(self._service):
            raise BrokerAway("the broker is away")
        message = self._hub.streams.get(stream, Stream()).at(sequence)
        return message.headers.get(EVENT_ID) if message is not None else None

    async def read(self, subjects: Sequence[str], after: int) -> list[StoredMessage]:
        await self._ask()
        stream = self._hub.streams.get(self._stream_of(subjects[0]), Stream())
        found = [
            StoredMessage(message.subject, message.body, message.headers, sequence)
            for sequence, message in stream.held(after)
            if any(_matches(message.subject, subject) for subject in subjects)
        ]
        return found[:AT_ONCE]

    async def last(self, subject: str) -> StoredMessage | None:
        found, after = None, 0
        while page := await self.read([subject], after):
            found, after = page[-1], page[-1].sequence
        return found

    async def count(self, subject: str) -> int:
        await self._ask()
        held = self._hub.streams.get(self._stream_of(subject), Stream()).held()
        return sum(_matches(message.subject, subject) for _, message in held)

    async def purge(self, stream: str, subject: str) -> None:
        await self._ask()
        held = self._hub.streams.get(stream, Stream())
        held.delete([at for at, each in held.held() if _matches(each.subject, subject)])
        await self._pause()

    async def undelivered(self) -> int:
        await self._ask()
        return sum(
            len(durable.pending) + len(stream.messages) + 1 - durable.next_sequence
            for stream in self._hub.streams.values()
            if (durable := stream.durables.get(self._service)) is not None
        )

    async def history(self, subject: str) -> list[StoredMessage]:
        raise NotImplementedError

    async def history_since(
        self, subject: str, place: StreamPosition
    ) -> tuple[list[StoredMessage], StreamPosition]:
        raise NotImplementedError

    @asynccontextmanager
    async def notifications(self, *_: str) -> AsyncIterator[asyncio.Event]:
        yield asyncio.Event()

    async def stop_delivering(self) -> None:
        self._delivers = False
        await self._pause()

    async def stop(self) -> None:
        await self._pause()
        if self._task is not None:
            self._task.cancel()

    async def _live(
        self, receive: Receiver, room: Callable[[], int], verify: Callable[[], Awaitable[None]]
    ) -> None:
        while True:
            if not self._hub.reaches(self._service):
                await asyncio.sleep(RECONNECT_SECONDS)
                continue
            self._streams = self._hub.streams
            self._declare()
            try:
                await verify()
            except Outage:
                await asyncio.sleep(RECONNECT_SECONDS)
                continue
            if self._hub.streams is not self._streams:
                continue
            self._ready.set()
            await self._deliver_while_connected(receive, room)
            self._ready.clear()

    def _declare(self) -> None:
        for declared in self._registry.streams:
            self._hub.streams.setdefault(declared.name, Stream(declared.newest_only))
        for consumed in self._registry.consumed_streams:
            stream = self._hub.streams[consumed.name]
            handles = {each.__name__ for each in self._registry.handles if each.stream == consumed}
            durable = stream.durables.setdefault(self._service, Durable(frozenset(handles)))
            if self._from_the_start or durable.next_sequence > len(stream.messages) + 1:
                stream.durables[self._service] = Durable(frozenset(handles))
        self._from_the_start = False

    async def _deliver_while_connected(self, receive: Receiver, room: Callable[[], int]) -> None:
        streams = self._hub.streams
        while self._hub.reaches(self._service) and self._hub.streams is streams:
            due = self._due(room()) if self._delivers else []
            for delivery in due:
                receive(delivery)
            if not due:
                await self._until_grown()
            await self._pause()

    async def _until_grown(self) -> None:
        grown = self._hub.grown[self._service]
        grown.clear()
        looking = asyncio.get_running_loop().call_later(LOOK_SECONDS, grown.set)
        await grown.wait()  # or until a redelivery may be due
        looking.cancel()

    def _due(self, room: int) -> list[SimulatedDelivery]:
        now = asyncio.get_running_loop().time()
        found: list[SimulatedDelivery] = []
        for name, stream in self._hub.streams.items():
            durable = stream.durables.get(self._service)
            if durable is not None:
                found += [
                    SimulatedDelivery(self._hub, durable, name, each, message)
                    for each in self._sequences(durable, stream, now, min(room, AT_ONCE))
                    if (message := stream.at(each)) is not None
                ]
        self._hub.chance.shuffle(found)
        return found

    def _sequences(self, durable: Durable, stream: Stream, now: float, room: int) -> list[int]:
        again = [each for each, deadline in durable.pending.items() if deadline <= now]
        new: list[int] = []
        while durable.next_sequence <= len(stream.messages) and len(new) < room:
            sequence = durable.next_sequence
            durable.next_sequence += 1
            message = stream.at(sequence)
            if message is not None and name_in(message.subject) in durable.handles:
                new.append(sequence)
        for sequence in (*again, *new):
            durable.pending[sequence] = now + ACK_WAIT_SECONDS
        taken = [each for each in (*again, *new) if not self._hub.happens("late")]
        twice = [each for each in taken if self._hub.happens("twice")]
        return [*taken, *twice]

    def _stream_of(self, subject: str) -> str:
        prefix = subject.partition(".")[0]
        streams = self._registry.contract.streams.values()
        return next(stream.name for stream in streams if stream.prefix == prefix)

    async def _ask(self) -> None:
        await self._pause()
        if not self._hub.reaches(self._service):
            raise BrokerAway("the broker is away")

    async def _pause(self) -> None:
        await asyncio.sleep(self._hub.chance.random() * LATENCY_SECONDS)


def _matches(subject: str, pattern: str) -> bool:
    tokens, wanted = subject.split("."), pattern.split(".")
    if wanted[-1] == ">":
        tokens, wanted = tokens[: len(wanted) - 1], wanted[:-1]
    pairs = zip(tokens, wanted, strict=True)
    return all(each in ("*", token) for token, each in pairs)
