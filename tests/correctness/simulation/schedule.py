"""One schedule: a workload and faults drawn from a seed, then calm, then the invariants' check."""

import asyncio
import gc
import hashlib
import logging
import random
import sys
import warnings
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from unittest.mock import patch
from uuid import UUID

import msgspec

from chassis.processing.messages import Done, IdempotencyKey
from coupon.commands import DefineCoupon, IssueCoupon
from coupon.domain import DiscountType
from events.contract import OnShortage, PaymentMethod
from order.commands import CancelOrder, PlaceOrder, WantedLine
from payment.commands import BeginTopUp, ChargeWallet, OpenWallet
from payment.external_calls import top_up_call
from product.commands import BookStock, ChangeProduct, CreateProduct
from saga.errors import Refused, RetryLater
from tests.correctness.simulation import invariants
from tests.correctness.simulation.faults import KINDS, Fault, drawn
from tests.correctness.simulation.loop import SimulatedLoop
from tests.correctness.simulation.machines import Cluster, keep_tasks

ORDERS = 20
BUSY_SECONDS = (0.5, 1.0, 2.0, 4.0)
"""Within so long all orders are placed: at once, so that batches are large, or one by one."""

MAX_FAULTS = 14
MAX_INTERVAL_SECONDS = 900.0
LOOK_SECONDS = 1.0
RICH, POOR, PLENTY, SCARCE = (str(UUID(int=n)) for n in (1, 2, 3, 4))
SETTINGS = {
    "ORDER_TIMEOUT_SECONDS": "8",
    "WAIT_TIMEOUT_SECONDS": "6",
    "REPEAT_AFTER_SECONDS": "3",
    "PATIENCE_SECONDS": "1",
}


class GatewayOutcome(msgspec.Struct, kw_only=True):
    """What a schedule came to. `settled_seconds`: from the last fault to the last end."""

    seed: int
    faults: list[Fault]
    orders: int
    ends: Counter[str]
    kills: int
    settled_seconds: float
    violations: list[str]
    history: str
    steps: int
    places: Counter[str]
    phases: Counter[str]
    message_faults: Counter[str]
    edges: set[tuple[str, str, str]]


@contextmanager
def silence() -> Iterator[None]:
    """Around simulations: what was killed half way complains when it is thrown away."""
    complain, sys.unraisablehook = sys.unraisablehook, lambda _: None
    logging.disable(logging.CRITICAL)
    gc.disable()  # it would walk the whole project again and again: once at the end is enough
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
            gc.collect()
    finally:
        gc.enable()
        logging.disable(logging.NOTSET)
        sys.unraisablehook = complain


def run(seed: int, *, faults: list[Fault] | None = None, orders: int = ORDERS) -> GatewayOutcome:
    """Run one schedule from its seed. `faults` replaces the drawn ones, to shrink a failure."""
    chance = random.Random(seed)
    random.seed(seed)  # production's jitter
    loop = SimulatedLoop()
    loop.set_task_factory(keep_tasks)
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(_Schedule(loop, seed, chance, faults, orders).run())
    finally:
        loop.is_done = True  # what the killed left half done is thrown away now, and may not go on
        asyncio.set_event_loop(None)


class _Schedule:
    def __init__(
        self,
        loop: SimulatedLoop,
        seed: int,
        chance: random.Random,
        faults: list[Fault] | None,
        orders: int,
    ) -> None:
        self._loop = loop
        self._seed = seed
        self._chance = chance
        self._orders = orders
        self._busy_seconds = chance.choice(BUSY_SECONDS)
        drawn_faults = drawn(chance, chance.randint(0, MAX_FAULTS), self._busy_seconds * 1.5)
        self._faults = drawn_faults if faults is None else faults
        twice = Counter({chance.choice(("order", "product", "coupon", "payment")): 2})
        self._cluster = Cluster(loop, chance, twice, SETTINGS)
        self._placed: dict[str, str] = {}
        self._seen: dict[str, str] = {}
        self._violations: list[str] = []

    async def run(self) -> GatewayOutcome:
        with patch("chassis.loops._stop_the_process", self._broken):
            return await self._run()

    def _broken(self, loop: asyncio.Task[None]) -> None:
        """A service whose loop ends by itself would stop here: a bug, whatever was done to it."""
        if not loop.cancelled():
            self._violations.append(f"a loop has ended: {loop.exception()!r}")

    async def _run(self) -> GatewayOutcome:
        self._cluster.start()
        await self._stock_up()
        work = [self._later(self._client(i)) for i in range(self._orders)]
        work += [self._later(self._storekeeper()), self._later(self._top_up())]
        watching = asyncio.create_task(self._watch())
        await asyncio.gather(*map(self._harm, self._faults))
        await asyncio.gather(*work)
        self._calm()
        began = self._loop.time()
        settled = await self._settled()
        watching.cancel()
        if settled:
            self._violations += invariants.violations(self._cluster, self._placed)
        else:
            self._violations.append(f"not settled: {invariants.unsettled(self._cluster)}")
        return self._outcome(self._loop.time() - began)

    # ------------------------------------------------------------ the world before and after

    async def _stock_up(self) -> None:
        """Goods and wallets, made by commands, as over HTTP."""
        scarce = self._chance.randint(0, 8)
        for product_id, stock in ((PLENTY, 1000), (SCARCE, scarce)):
            make = CreateProduct(product_id=product_id, name="x", price=10, stock=stock)
            await self._insist("product", make)
        for customer, amount in ((RICH, 100_000), (POOR, 25)):
            await self._insist("payment", OpenWallet(customer_id=customer))
            await self._insist("payment", ChargeWallet(customer_id=customer, amount=amount))
        self._coupons = [self._cluster.new_id() for _ in range(2)]
        for coupon_id in self._coupons:
            await self._insist("coupon", _coupon(coupon_id))
            issue = IssueCoupon(issued_coupon_id=coupon_id, coupon_id=coupon_id, customer_id=RICH)
            await self._insist("coupon", issue)

    def _calm(self) -> None:
        """All that was broken is mended, and everything runs."""
        self._cluster.hub.calm()
        gateway = self._cluster.gateway
        gateway.trouble = gateway.refuses = 0.0
        for disk in self._cluster.disks.values():
            disk.calm()
        for machine in self._cluster.machines:
            machine.clock_ahead_seconds = 0.0
        self._cluster.start()

    async def _settled(self) -> bool:
        deadline = self._loop.time() + MAX_INTERVAL_SECONDS
        while self._loop.time() < deadline:
            self._cluster.gateway.land(self._loop.time())
            await self._cluster.redrive()
            if not invariants.unsettled(self._cluster):
                return True
            await asyncio.sleep(LOOK_SECONDS)
        return False

    # ------------------------------------------------------------ what people do

    def _later(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        async def begin() -> None:
            await asyncio.sleep(self._chance.random() * self._busy_seconds)
            await work

        return asyncio.create_task(begin())

    async def _client(self, number: int) -> None:
        """Places an order, some of them twice under the same key, and some cancel it again."""
        key = IdempotencyKey("orders", f"{number}", f"{number}")
        command = self._order()
        calls = [self._insist("order", command, key)]
        if self._chance.random() < 0.2:
            calls.append(self._insist("order", command, key))
        done = [each for each in await asyncio.gather(*calls) if each is not None]
        ids = {each.result.order_id for each in done}
        if len(ids) > 1:
            self._violations.append(f"one key, several orders: {ids}")
        self._placed |= {f"{number}": order_id for order_id in ids}
        if self._chance.random() < 0.4:
            await asyncio.sleep(self._chance.random() * 2)
            for order_id in ids:
                cancel = CancelOrder(order_id=order_id)
                await asyncio.gather(self._insist("order", cancel), self._insist("order", cancel))

    def _order(self) -> PlaceOrder:
        chance = self._chance
        products = chance.choice(((PLENTY,), (PLENTY,), (SCARCE,), (PLENTY, SCARCE)))
        card = chance.random() < 0.4
        poor = not card and chance.random() < 0.3
        coupon = chance.choice(self._coupons) if not poor and chance.random() < 0.3 else None
        return PlaceOrder(
            order_id=self._cluster.new_id(),
            customer_id=POOR if poor else RICH,
            items=tuple(
                WantedLine(product_id=each, quantity=chance.randint(1, 2)) for each in products
            ),
            coupon_id=coupon,
            payment_method=PaymentMethod.CARD if card else PaymentMethod.WALLET,
            on_shortage=OnShortage.WAIT if chance.random() < 0.4 else OnShortage.REJECT,
        )

    async def _storekeeper(self) -> None:
        """Brings stock in, takes some out, and changes a name."""
        for delta in (3, -1, 2):
            await asyncio.sleep(self._chance.random() * 3)
            book = BookStock(
                product_id=SCARCE,
                request_id=f"keeper {delta}",
                delta=delta,
                reason="",
                order_id=None,
            )
            await self._insist("product", book)
        await self._insist("product", ChangeProduct(product_id=PLENTY, name="y"))

    async def _top_up(self) -> None:
        """A wallet is charged through the gateway; the client waits for what comes of it."""
        begin = BeginTopUp(top_up_id=self._cluster.new_id(), customer_id=POOR, amount=7)
        done = await self._insist("payment", begin, IdempotencyKey("charge", "k", "f"))
        machine = self._cluster.one("payment")
        call = top_up_call(done.result) if done is not None else None
        if machine is not None and call is not None:
            with suppress(TimeoutError):
                await machine.join(call)

    async def _insist(
        self, service: str, command: object, key: IdempotencyKey | None = None
    ) -> Done | None:
        """Send a command until it is answered. None when a rule refuses it."""
        while True:
            target = self._cluster.one(service)
            if target is not None:
                try:
                    return await target.ask(command, key)
                except (RetryLater, TimeoutError, RuntimeError):
                    pass  # it may have been done all the same
                except Refused as refusal:
                    if refusal.code != "PRODUCT_NOT_FOUND":  # the order has not heard of it yet
                        return None
            await asyncio.sleep(0.2 + self._chance.random())

    async def _watch(self) -> None:
        """A client looks at the orders all the time: none may go backwards, or wait in vain."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self._violations += invariants.unserved(self._cluster)
            for order_id, status in invariants.statuses(self._cluster).items():
                before = self._seen.get(order_id, "PENDING")
                if status != before and (before, status) not in _FORWARD:
                    self._violations.append(f"{order_id} went from {before} to {status}")
                self._seen[order_id] = status

    async def _harm(self, fault: Fault) -> None:
        await asyncio.sleep(fault.at_seconds)
        with suppress(RetryLater):
            await KINDS[fault.kind](self._cluster, fault)

    def _outcome(self, settled_seconds: float) -> GatewayOutcome:
        cluster = self._cluster
        history, edges = invariants.history(cluster)
        digest = hashlib.sha256(f"{history}{self._loop.time()}".encode()).hexdigest()
        return GatewayOutcome(
            seed=self._seed,
            faults=self._faults,
            orders=len(set(self._placed.values())),
            ends=Counter(invariants.statuses(cluster).values()),
            kills=cluster.kills,
            settled_seconds=settled_seconds,
            violations=self._violations,
            history=digest,
            steps=self._loop.steps,
            places=cluster.places,
            phases=cluster.phases,
            message_faults=Counter(cluster.hub.faults) + cluster.gateway.faults,
            edges=edges,
        )


_FORWARD = {
    ("PENDING", "COMPLETED"),
    ("PENDING", "FAILED"),
    ("PENDING", "WAITING"),
    ("PENDING", "CANCELLED"),  # it was COMPLETED between two looks
    ("WAITING", "COMPLETED"),
    ("WAITING", "FAILED"),
    ("WAITING", "CANCELLED"),
    ("COMPLETED", "CANCELLED"),
}


def _coupon(coupon_id: str) -> DefineCoupon:
    return DefineCoupon(
        coupon_id=coupon_id,
        name="c",
        discount_type=DiscountType.FIXED,
        discount_value=3,
        min_order_amount=0,
        quantity=1,
        valid_from=None,
        valid_until=None,
    )
