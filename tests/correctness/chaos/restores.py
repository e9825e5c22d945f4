"""Databases that are lost, restored from an older backup, and caught up in recovery mode.

The operator's way, by the operator's commands: `make backup`, `make restore`, waiting until the
service has handled all events again, booking what came by HTTP since the backup, `make release`.
Other faults go on meanwhile, so each step is tried until it succeeds.
"""

import asyncio
import random
import signal
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic

import aiohttp
import msgspec

from infra.stack.config import StackError
from ops.audit import CannotRead, inspect
from ops.audit.card_payments import ORPHANS
from ops.backup.databases import database_of
from tests.correctness.chaos.facts import Fact, Facts
from tests.correctness.chaos.faults import command, send_signal
from tests.correctness.chaos.losses import LOST_FOLDER
from tests.e2e.audit_fixtures import database_file
from tests.kit.client import SERVICES, Shop, wait_until

RESTORED = {f"{service}'s database is restored": service for service in SERVICES}

BACKUP_PAUSE_SECONDS = 10
STEP_SECONDS = 120
"""How long the operator tries one step. A release waits for orders that are under way."""
PAUSE_SECONDS = 0.5
MAX_UNDER_WAY = 10
"""So many events may have just arrived: orders go on."""

MAX_UNNOTICED_SECONDS = 3
"""The longest time before the operator acts on a loss."""

LOSSES = (signal.SIGKILL, signal.SIGCONT, None)
"""The service is killed and its database lost; it is lost while the service runs on; it is kept."""


class Backup(msgspec.Struct, frozen=True):
    file: Path
    began_at: float


class Restores:
    """Backups of all services, and one restore at a time.

    `seconds`: from each loss to the release, by service. `booked` counts bookings, `refused` the
    releases that the audit refused at first.
    """

    def __init__(self, shop: Shop, chance: random.Random, facts: Facts) -> None:
        self.recovering: str | None = None
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.booked = Counter[str]()
        self.refused = Counter[str]()
        self._shop = shop
        self._chance = chance
        self._facts = facts
        self._backups: dict[str, list[Backup]] = defaultdict(list)
        self._lost = Path(shop.environment["STATE_DIR"]) / LOST_FOLDER

    # ------------------------------------------------------------ backups

    async def back_up(self) -> None:
        """Back every service up, as `make backup` does, but for one that is being restored."""
        for service in SERVICES:
            began_at = monotonic()
            if service == self.recovering:
                continue
            with suppress(StackError):  # a fault of that moment: the next backup is a newer one
                database = database_of(service, self._shop.environment)
                file = await asyncio.to_thread(database.back_up, self._lost)
                if service != self.recovering:
                    self._backups[service].append(Backup(file, began_at))

    async def keep_backing_up(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(BACKUP_PAUSE_SECONDS)
            await self.back_up()

    # ------------------------------------------------------------ one restore

    async def restore(self, service: str) -> None:
        """Lose a database and bring it back. Raises AssertionError when a step never succeeds."""
        backup = self._chance.choice(self._backups[service])
        self.recovering, began_at = service, monotonic()
        how = self._chance.choice(LOSSES)
        if how is not None:
            self._lose(service, how)
            await asyncio.sleep(self._chance.uniform(0, MAX_UNNOTICED_SECONDS))
        await self._insist("restore", service, "--from", str(backup.file), "--stack")
        await wait_until(lambda: self._has_caught_up(service), f"{service} caught up", STEP_SECONDS)
        await self._insist("release", service, before=lambda: self._book_all(service, backup))
        self.recovering = None
        self.seconds[service].append(monotonic() - began_at)

    def _lose(self, service: str, how: signal.Signals) -> None:
        """Move the database away: what it held is looked up after the run."""
        database = database_file(self._shop.environment, service)
        target = self._lost / f"{database.name}.{monotonic():.3f}"
        send_signal(self._shop, service, signal.SIGSTOP)  # it does not start again in between
        for suffix in ("", "-wal"):
            with suppress(FileNotFoundError):
                Path(f"{database}{suffix}").rename(f"{target}{suffix}")
        Path(f"{database}-shm").unlink(missing_ok=True)
        send_signal(self._shop, service, how)

    async def _has_caught_up(self, service: str) -> bool:
        with suppress(aiohttp.ClientError, AssertionError):
            report = await self._shop.get(service, "/api/v1/ops/recovery")
            left = report["undelivered"]
            if report["active"] and left is not None and left < MAX_UNDER_WAY:
                return True
        await asyncio.sleep(PAUSE_SECONDS)
        return False

    async def _insist(
        self, *words: str, before: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """Run a command again until it succeeds."""
        given_up_at = monotonic() + STEP_SECONDS
        while True:
            if before is not None:
                await before()
            try:
                await command(self._shop, *words)
            except AssertionError:
                self.refused[words[0]] += 1
                if monotonic() > given_up_at:
                    raise
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                return

    # ------------------------------------------------------------ bookings

    async def _book_all(self, service: str, backup: Backup) -> None:
        """Book what came by HTTP since the backup; what the database has is booked once."""
        facts = [*self._facts.since(service, backup.began_at)]
        if service == "payment":
            facts += await self._missing_top_ups()
        for fact in facts:
            await self._book(fact)

    async def _missing_top_ups(self) -> list[Fact]:
        """Those that the audit names: the gateway has captured them, and no row knows them."""
        try:
            report = await asyncio.to_thread(
                inspect, self._shop.environment, quiet_seconds=0, recovering="payment"
            )
        except CannotRead:
            return []
        keys = [each.entity for each in report.discrepancies if each.check == ORPHANS]
        return [fact for key in keys if key and (fact := self._facts.top_up_of(key))]

    async def _book(self, fact: Fact) -> None:
        path = "/api/v1/ops/recovery/bookings"
        answer = None
        with suppress(aiohttp.ClientError, TimeoutError):
            answer = await self._shop.call(
                fact.service, "POST", path, fact.booking, idempotency_key=fact.key
            )
        if answer is None or answer.status == 503:
            return  # a fault of that moment: the release is refused, and all is booked once more
        assert answer.status == 200, (fact, answer)
        self.booked[fact.service] += 1
