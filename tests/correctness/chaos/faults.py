"""The faults that chaos injects into a running stack, from outside.

Each fault is a coroutine that returns once the fault is over: killed processes are restarted by the
supervisor, stopped ones are started again.
"""

import asyncio
import os
import random
import resource
import shutil
import signal
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from pathlib import Path

from nats.errors import Error as NatsError

from infra.simulators.behaviours import ODD
from infra.stack import pids
from infra.stack.config import BROKERS, SIMULATORS
from tests.e2e.cluster.steady_load import until_whole
from tests.kit.client import SERVICES, Shop, wait_until

Fault = Callable[[Shop, random.Random], Awaitable[None]]

LOCKED_SECONDS = 3.0
FULL_SECONDS = 3.0
HANGING_SECONDS = 3.0
AWAY_SECONDS = 2.0
WHOLE_SECONDS = 60.0
PURGED_SECONDS = 30.0
_ODD_RULES = tuple(
    (operation, does)
    for operation in ("charge", "void", "refund", "inquire")
    for does in sorted(ODD)
)
GATEWAY_RULES = (
    ("charge", "ERROR"),
    ("charge", "HANG"),
    ("charge", "CAPTURE_THEN_HANG"),
    ("charge", "CAPTURE_THEN_ERROR"),
    ("charge", "LAND_LATE"),
    ("charge", "ANSWER_TWICE"),
    ("void", "ERROR"),
    ("refund", "ERROR"),
    ("refund", "REFUND_THEN_ERROR"),
    ("refund", "REFUSE"),
    ("charge", "CAPTURE_THEN_REFUSE"),
    ("refund", "REFUND_THEN_REFUSE"),
)

PLATFORM_RULES = ("DROP", "ERROR", "HANG", "OVERLOADED", "ACCEPT_THEN_HANG", "ACCEPT_THEN_ERROR")


async def command(shop: Shop, *words: str) -> None:
    await asyncio.to_thread(shop.command, *words)


def killed(process: str) -> Fault:
    """Kill -9. The supervisor starts it again."""

    async def fault(shop: Shop, _: random.Random) -> None:
        send_signal(shop, process, signal.SIGKILL)

    return fault


def hanging(process: str) -> Fault:
    """It keeps its connections, and does not answer for a while."""

    async def fault(shop: Shop, _: random.Random) -> None:
        send_signal(shop, process, signal.SIGSTOP)
        await asyncio.sleep(HANGING_SECONDS)
        send_signal(shop, process, signal.SIGCONT)

    return fault


async def broker_wiped(shop: Shop, _: random.Random) -> None:
    """The broker loses its whole store."""
    await command(shop, "stop", "nats")
    shutil.rmtree(_folder(shop) / "nats")
    await command(shop, "start", "nats")


async def broker_set_back(shop: Shop, _: random.Random) -> None:
    """The broker's store is replaced by an older copy of itself."""
    store, copy = _folder(shop) / "nats", _folder(shop) / "nats-copy"
    await command(shop, "stop", "nats")
    shutil.copytree(store, copy)
    await command(shop, "start", "nats")
    await asyncio.sleep(AWAY_SECONDS)  # what is stored meanwhile will be lost
    await command(shop, "stop", "nats")
    shutil.rmtree(store)
    copy.rename(store)
    await command(shop, "start", "nats")


async def stream_purged(shop: Shop, chance: random.Random) -> None:
    """All messages are deleted from the stream, or all but some, while everything runs."""
    keep = chance.choice((None, 20))

    async def is_purged() -> bool:
        with suppress(NatsError, OSError, TimeoutError):  # it may have been killed a moment ago
            async with shop.nats() as client:
                return await client.jetstream().purge_stream("SAGA", keep=keep)
        return False

    await wait_until(is_purged, "the stream is purged", PURGED_SECONDS)


async def broker_away(shop: Shop, _: random.Random) -> None:
    await command(shop, "stop", "nats")
    await asyncio.sleep(AWAY_SECONDS)
    await command(shop, "start", "nats")


async def all_services_killed(shop: Shop, _: random.Random) -> None:
    for service in SERVICES:
        send_signal(shop, service, signal.SIGKILL)


async def database_locked(shop: Shop, chance: random.Random) -> None:
    """Another process holds a database's write lock."""
    file = _folder(shop) / "db" / f"{chance.choice(SERVICES)}.db"

    def hold() -> sqlite3.Connection:
        connection = sqlite3.connect(file, timeout=30, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        return connection

    connection = hold()
    with closing(connection):
        await asyncio.sleep(LOCKED_SECONDS)
        connection.execute("ROLLBACK")


async def disk_full(shop: Shop, chance: random.Random) -> None:
    """No file of a service can be written: the kernel refuses each write.

    The process's limit on file sizes stands in for a full disk, which needs root. SQLite sees the
    same failed write.
    """
    service = chance.choice(SERVICES)
    pid = pids.alive(_folder(shop), service)
    if pid is None or sys.platform != "linux":
        return
    unlimited = resource.RLIM_INFINITY
    with suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, unlimited))
        await asyncio.sleep(FULL_SECONDS)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (unlimited, unlimited))


async def gateway_misbehaves(shop: Shop, chance: random.Random) -> None:
    operation, does = chance.choice(chance.choice((GATEWAY_RULES, _ODD_RULES)))
    rule = {"operation": operation, "does": does, "times": chance.randint(1, 5), "seconds": 2.0}
    with suppress(OSError):
        await shop.call("gateway", "POST", "/control/behaviours", rule)


async def platform_misbehaves(shop: Shop, chance: random.Random) -> None:
    does, times = chance.choice(PLATFORM_RULES), chance.randint(1, 20)
    rule = {"does": does, "times": times, "seconds": 2.0}
    with suppress(OSError):
        await shop.call("platform", "POST", "/control/behaviours", rule)


def broker_wiped_in_cluster(broker: str) -> Fault:
    """One server loses its store, and fills it from the others before the fault is over."""

    async def fault(shop: Shop, _: random.Random) -> None:
        await command(shop, "stop", broker)
        shutil.rmtree(_folder(shop) / "cluster" / broker)
        await command(shop, "start", broker)
        await until_whole(shop, WHOLE_SECONDS)

    return fault


async def two_brokers_away(shop: Shop, chance: random.Random) -> None:
    two = chance.sample(BROKERS, 2)
    await asyncio.gather(*(command(shop, "stop", each) for each in two))
    await asyncio.sleep(AWAY_SECONDS)
    await asyncio.gather(*(command(shop, "start", each) for each in two))


async def two_brokers_killed(shop: Shop, chance: random.Random) -> None:
    for broker in chance.sample(BROKERS, 2):
        send_signal(shop, broker, signal.SIGKILL)


async def two_brokers_hang(shop: Shop, chance: random.Random) -> None:
    await asyncio.gather(*(hanging(each)(shop, chance) for each in chance.sample(BROKERS, 2)))


DATABASE_HELD = "a database is locked"
"""Not while a database is moved: when its last connection closes, SQLite deletes the log that is
then at its place."""

_ALWAYS: dict[str, Fault] = {
    **{f"kill -9 {each}": killed(each) for each in (*SERVICES, "redis", *SIMULATORS)},
    **{f"{each} hangs": hanging(each) for each in (*SERVICES, *SIMULATORS)},
    "all services killed": all_services_killed,
    DATABASE_HELD: database_locked,
    "a disk is full": disk_full,
    "the gateway misbehaves": gateway_misbehaves,
    "the data platform misbehaves": platform_misbehaves,
}

_STREAM_PURGED: dict[str, Fault] = {"stream purged": stream_purged}
_STORE_LOST: dict[str, Fault] = {
    **_STREAM_PURGED,
    "broker's store wiped": broker_wiped,
    "broker's store set back": broker_set_back,
}

FAULTS: dict[str, Fault] = {
    **_ALWAYS,
    **_STORE_LOST,
    "kill -9 nats": killed("nats"),
    "nats hangs": hanging("nats"),
    "broker away": broker_away,
}
"""On a stack with one broker."""

CLUSTER_FAULTS: dict[str, Fault] = {
    **_ALWAYS,
    **_STREAM_PURGED,
    **{f"kill -9 {each}": killed(each) for each in BROKERS},
    **{f"{each} hangs": hanging(each) for each in BROKERS},
    **{f"{each}'s store wiped": broker_wiped_in_cluster(each) for each in BROKERS},
    "two brokers killed": two_brokers_killed,
    "two brokers hang": two_brokers_hang,
    "two brokers away": two_brokers_away,
}
"""On a stack with three."""

STORE_LOST = frozenset(_STORE_LOST)
"""What is lost in the stream and in its producer's database at once is nowhere."""


def _folder(shop: Shop) -> Path:
    return Path(shop.environment["STATE_DIR"])


def send_signal(shop: Shop, process: str, number: int) -> None:
    """Signal a process, if it runs: it may have been killed a moment ago."""
    if pid := pids.alive(_folder(shop), process):
        with suppress(ProcessLookupError):
            os.kill(pid, number)
