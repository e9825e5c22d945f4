"""The limit: what four processes, SQLite and JetStream do with nothing but the pipeline.

    python -m bench.bare --seconds 20

Three steps and the entry, each a process with a database of its own: a batch of messages, one
transaction with `synchronous=FULL` (inbox, one row of state, outbox), published and acknowledged
after the commit, as in a service. A message is an id and filler, as long as an event. No HTTP, no
framework, no business rules, no rows of orders. No saga of this kind is faster on this machine, so
the difference is the cost of the shop's rules, its HTTP and its chassis.
"""

import argparse
import asyncio
import os
import secrets
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import nats
import uvloop
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, StreamConfig

from chassis.broker.consumer import Consumer
from chassis.broker.nats_client import NatsClient
from chassis.broker.publisher import Publisher
from chassis.ports import DeliveredMessage, OutgoingMessage
from infra.stack import config
from saga.event import Contract
from saga.ids import timed
from tests.kit.stack import free_port

STREAM = "BARE"
STEPS = 3
IN_FLIGHT = 2_000
MAX_BATCH = 512
WARM_UP_SECONDS = 3.0
START_SECONDS = 20.0
FILLER = "." * 300
RANDOM_BITS = 74
ID_LENGTH = 36

_SCHEMA = """
PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
CREATE TABLE inbox (id TEXT PRIMARY KEY);
CREATE TABLE outbox (id TEXT PRIMARY KEY, body TEXT NOT NULL, published INTEGER NOT NULL DEFAULT 0);
CREATE TABLE state (id INTEGER PRIMARY KEY, amount INTEGER NOT NULL);
INSERT INTO state VALUES (1, 0);
"""


class Database:
    """One process's database."""

    def __init__(self, file: Path) -> None:
        self._database = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        self._database.executescript(_SCHEMA)

    def step(self, ids: Sequence[str], published: Sequence[str], emits: bool) -> None:
        """One transaction: handle these, and mark as published the batch before."""
        run = self._database
        run.execute("BEGIN IMMEDIATE")
        rows = [(each,) for each in ids]
        run.executemany("INSERT OR IGNORE INTO inbox VALUES (?)", rows)
        run.execute("UPDATE state SET amount = amount + ? WHERE id = 1", (len(ids),))
        if emits:
            emitted = [(each, each + FILLER) for each in ids]
            run.executemany("INSERT OR IGNORE INTO outbox (id, body) VALUES (?, ?)", emitted)
        run.executemany("UPDATE outbox SET published = 1 WHERE id = ?", [(i,) for i in published])
        run.execute("COMMIT")


class Step:
    """Handles `bare.<number - 1>`, emits `bare.<number>`. Number 0 starts, and handles the last."""

    def __init__(self, number: int, client: NatsClient, database: Database) -> None:
        self._number = number
        self._client = client
        self._database = database
        self._publisher = Publisher(client, Contract(), _nothing_held)
        self._received: list[DeliveredMessage] = []
        self._arrived = asyncio.Event()
        self._published: list[str] = []
        self.ended = 0

    async def run(self) -> None:
        handles = STEPS if self._number == 0 else self._number - 1
        durable = f"step{self._number}"
        notifications = ConsumerConfig(
            durable_name=durable,
            name=durable,
            ack_policy=AckPolicy.EXPLICIT,
            filter_subject=f"bare.{handles}",
            max_ack_pending=10_000,
        )
        await self._client.jetstream().add_consumer(STREAM, notifications)
        await self._publisher.start()
        consumer = Consumer(self._client, STREAM, durable, self._receive, self._room, _nothing)
        await consumer.start()
        if self._number == 0:
            await self._begin()
        while True:
            await self._arrived.wait()
            batch, self._received = self._received[:MAX_BATCH], self._received[MAX_BATCH:]
            if not self._received:
                self._arrived.clear()
            await self._work(batch)
            consumer.resume()

    async def _work(self, batch: Sequence[DeliveredMessage]) -> None:
        ids = [each.body[:ID_LENGTH].decode() for each in batch]
        published, self._published = self._published, []
        emits = self._number > 0
        await asyncio.to_thread(self._database.step, ids, published, emits)
        for each in batch:
            each.ack()
        if emits:
            await self._publish(ids)
        else:
            self.ended += len(ids)
            await self._begin(len(ids))

    async def _begin(self, count: int = IN_FLIGHT) -> None:
        now = time.time_ns() // 1_000_000
        ids = [timed(now, secrets.randbits(RANDOM_BITS)) for _ in range(count)]
        await asyncio.to_thread(self._database.step, ids, [], True)
        await self._publish(ids)

    async def _publish(self, ids: Sequence[str]) -> None:
        subject = f"bare.{self._number}"
        messages = [
            OutgoingMessage(
                subject, (each + FILLER).encode(), {"Nats-Msg-Id": f"{self._number}-{each}"}
            )
            for each in ids
        ]
        sequences = await self._publisher.publish(messages)
        if None in sequences:
            sys.exit("the broker refused a message")
        self._published += ids

    def _receive(self, delivery: DeliveredMessage) -> None:
        self._received.append(delivery)
        self._arrived.set()

    def _room(self) -> int:
        return 2 * MAX_BATCH - len(self._received)


async def _nothing() -> None:
    """The consumer exists already."""


async def _nothing_held(_: str, __: int) -> None:
    """Its messages have no ids, so that there are no duplicates to look up."""


async def step(number: int, url: str, folder: Path, seconds: float) -> None:
    """One of the four processes. Number 0 prints the sagas ended per second, and ends."""
    client = NatsClient()
    await client.connect(url)
    database = Database(folder / f"{number}.db")
    each = Step(number, client, database)
    work = asyncio.create_task(each.run())
    if number > 0:
        await work
    await asyncio.wait([work], timeout=WARM_UP_SECONDS)
    before, began_at = each.ended, time.perf_counter()
    await asyncio.wait([work], timeout=seconds)
    print((each.ended - before) / (time.perf_counter() - began_at), flush=True)
    os._exit(0)  # the batch that is in flight is not measured


def measure(seconds: float) -> float:
    """Sagas ended per second."""
    with tempfile.TemporaryDirectory(prefix="bare-") as name:
        port = free_port()
        program = config.program("nats-server")
        if program is None:
            sys.exit("nats-server is not installed. Run: make install")
        server = [program, "-js", "-sd", name, "-a", "127.0.0.1", "-p", str(port)]
        running = [subprocess.Popen(server, stderr=subprocess.DEVNULL)]
        try:
            url = f"nats://127.0.0.1:{port}"
            uvloop.run(_declare(url))
            words = [sys.executable, "-m", "bench.bare", "--url", url, "--folder", name]
            words += ["--seconds", str(seconds), "--step"]
            running += [subprocess.Popen([*words, str(number)]) for number in range(1, STEPS + 1)]
            done = subprocess.run([*words, "0"], stdout=subprocess.PIPE, check=True, text=True)
            return float(done.stdout)
        finally:
            for process in reversed(running):
                process.send_signal(signal.SIGKILL)
                process.wait()


async def _declare(url: str) -> None:
    client = await _connect(url)
    await client.jetstream().add_stream(StreamConfig(name=STREAM, subjects=["bare.*"]))
    await client.close()


async def _connect(url: str) -> Client:
    """A connection, as soon as the broker runs."""
    async with asyncio.timeout(START_SECONDS):
        while True:
            try:
                return await nats.connect(url, allow_reconnect=False, error_cb=_ignore)
            except (OSError, NatsError):
                await asyncio.sleep(0.05)


async def _ignore(_: Exception) -> None:
    """The caller receives the error too."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.bare", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--step", type=int)
    parser.add_argument("--url")
    parser.add_argument("--folder", type=Path)
    chosen = parser.parse_args()
    if chosen.step is None:
        print(f"{measure(chosen.seconds):,.0f} sagas/s")
    else:
        uvloop.run(step(chosen.step, chosen.url, chosen.folder, chosen.seconds))


if __name__ == "__main__":
    main()
