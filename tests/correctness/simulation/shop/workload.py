"""Twenty orders, and what else happens in a shop meanwhile."""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from chassis.processing.messages import IdempotencyKey
from coupon.commands import DefineCoupon, IssueCoupon
from coupon.domain import DiscountType
from events.contract import Address, OnShortage, PaymentMethod
from order.commands import CancelOrder, PlaceOrder, WantedLine
from payment.commands import BeginTopUp, ChargeWallet, OpenWallet
from payment.external_calls import top_up_call
from product.commands import BookStock, ChangeProduct, CreateProduct
from tests.correctness.simulation.checks import rows
from tests.correctness.simulation.machines import EPOCH
from tests.correctness.simulation.shop import invariants
from tests.correctness.simulation.workload import Workload
from user.commands import AddAddress, EraseUser, RegisterUser

ORDERS = 20
RICH, POOR, PLENTY, SCARCE = (str(UUID(int=n)) for n in (1, 2, 3, 4))
GOING, STAYING = (str(UUID(int=n)) for n in (5, 6))
"""Users with an address. One of them is erased, while orders of theirs are under way."""

_FORWARD = {
    ("PENDING", "COMPLETED"),
    ("PENDING", "FAILED"),
    ("PENDING", "WAITING"),
    ("PENDING", "CANCELLED"),  # it was COMPLETED between two observations
    ("WAITING", "COMPLETED"),
    ("WAITING", "FAILED"),
    ("WAITING", "CANCELLED"),
    ("COMPLETED", "CANCELLED"),
}
"""The moves that a client may see."""


class ShopWorkload(Workload):
    # Order has not consumed ProductChanged or AddressChanged yet, payment not UserRegistered.
    retry_codes = frozenset({"PRODUCT_NOT_FOUND", "ADDRESS_NOT_FOUND", "WALLET_NOT_FOUND"})
    facts = (BookStock, BeginTopUp)
    _coupons: list[str]

    async def prepare(self) -> None:
        """Products, wallets and coupons."""
        scarce = self.chance.randint(0, 8)
        for product_id, stock in ((PLENTY, 1000), (SCARCE, scarce)):
            make = CreateProduct(product_id=product_id, name="x", price=10, stock=stock)
            await self.insist("product", make)
        for customer, amount in ((RICH, 100_000), (POOR, 25)):
            await self.insist("payment", OpenWallet(customer_id=customer))
            await self.insist("payment", ChargeWallet(customer_id=customer, amount=amount))
        for user_id in (GOING, STAYING):
            await self.insist("user", _sign_up(user_id))
            await self.insist("user", _address(user_id))
            await self.insist("payment", ChargeWallet(customer_id=user_id, amount=1_000))
        self._coupons = [self.cluster.new_id() for _ in range(3)]
        began_at = EPOCH + timedelta(seconds=self.cluster.loop.time())
        soon = began_at + timedelta(seconds=1 + self.chance.random() * 3)
        for coupon_id, valid_until in zip(self._coupons, (None, None, soon), strict=True):
            await self.insist("coupon", _coupon(coupon_id, valid_until))
            issue = IssueCoupon(issued_coupon_id=coupon_id, coupon_id=coupon_id, customer_id=RICH)
            await self.insist("coupon", issue)
        self._seen: dict[str, str] = {}

    def clients(self) -> list[Coroutine[Any, Any, None]]:
        return [*map(self._customer, range(ORDERS)), self._supply(), self._top_up(), self._erase()]

    def observe(self) -> Iterator[str]:
        """No order's status goes backwards, none waits for stock that is available.

        A restored database is behind until it has caught up.
        """
        if "product" not in self.cluster.recovering:
            yield from invariants.unserved(self.cluster)
        if "order" in self.cluster.recovering:
            return
        for order_id, status in invariants.statuses(self.cluster).items():
            before = self._seen.get(order_id, "PENDING")
            if status != before and (before, status) not in _FORWARD:
                yield f"{order_id} went from {before} to {status}"
            self._seen[order_id] = status

    def unsettled(self) -> list[str]:
        query = "SELECT 1 FROM top_ups WHERE retry_at IS NOT NULL"
        return ["a top-up"] * len(rows(self.cluster, "payment", query))

    def at_rest(self) -> list[str]:
        return invariants.violations(self.cluster, self.placed)

    def ends(self) -> Counter[str]:
        return Counter(invariants.statuses(self.cluster).values())

    async def _customer(self, number: int) -> None:
        """Places an order, sometimes twice under the same key, and sometimes cancels it."""
        key = IdempotencyKey("orders", f"{number}", f"{number}")
        command = self._order()
        calls = [self.insist("order", command, key)]
        if self.chance.random() < 0.2:
            calls.append(self.insist("order", command, key))
        done = [each for each in await asyncio.gather(*calls) if each is not None]
        ids = {each.result.order_id for each in done}
        if len(ids) > 1 and not self.cluster.restored["order"]:
            self.violations.append(f"one key, several orders: {ids}")
        self.placed |= {f"{number}": order_id for order_id in ids}
        if self.chance.random() < 0.4:
            await asyncio.sleep(self.chance.random() * 2)
            for order_id in ids:
                cancel = CancelOrder(order_id=order_id)
                await asyncio.gather(self.insist("order", cancel), self.insist("order", cancel))

    async def _erase(self) -> None:
        """A user leaves, and asks for it twice."""
        await asyncio.sleep(self.chance.random() * 4)
        for _ in range(2):
            await self.insist("user", EraseUser(user_id=GOING))

    def _order(self) -> PlaceOrder:
        chance = self.chance
        user_id = chance.choice((GOING, STAYING)) if chance.random() < 0.3 else None
        products = chance.choice(((PLENTY,), (PLENTY,), (SCARCE,), (PLENTY, SCARCE)))
        card = chance.random() < 0.4
        poor = not card and chance.random() < 0.3
        coupon = chance.choice(self._coupons) if not poor and chance.random() < 0.3 else None
        return PlaceOrder(
            order_id=self.cluster.new_id(),
            customer_id=user_id or (POOR if poor else RICH),
            items=tuple(
                WantedLine(product_id=each, quantity=chance.randint(1, 2)) for each in products
            ),
            coupon_id=coupon,
            payment_method=PaymentMethod.CARD if card else PaymentMethod.WALLET,
            on_shortage=OnShortage.WAIT if chance.random() < 0.4 else OnShortage.REJECT,
            address=HOME if user_id else None,
        )

    async def _supply(self) -> None:
        """Books stock in and out, and renames a product."""
        for delta in (3, -1, 2):
            await asyncio.sleep(self.chance.random() * 3)
            book = BookStock(
                product_id=SCARCE,
                request_id=f"supply {delta}",
                delta=delta,
                reason="",
                order_id=None,
            )
            await self.insist("product", book)
        await self.insist("product", ChangeProduct(product_id=PLENTY, name="y"))

    async def _top_up(self) -> None:
        """Charges a wallet through the gateway, and waits for the outcome."""
        begin = BeginTopUp(top_up_id=self.cluster.new_id(), customer_id=POOR, amount=7)
        done = await self.insist("payment", begin, IdempotencyKey("charge", "k", "f"))
        machine = self.cluster.one("payment")
        call = top_up_call(done.result) if done is not None else None
        if call is not None and machine is not None:
            with suppress(TimeoutError):
                await machine.join(call)


HOME = Address(street="1 Road", postal_code="1", city="Seoul")


def _sign_up(user_id: str) -> RegisterUser:
    return RegisterUser(
        user_id=user_id, email=f"{user_id}@x", name="x", password_hash="x", roles="customer"
    )


def _address(user_id: str) -> AddAddress:
    return AddAddress(
        address_id=str(UUID(int=UUID(user_id).int + 100)),
        user_id=user_id,
        label="home",
        street=HOME.street,
        postal_code=HOME.postal_code,
        city=HOME.city,
        is_default=True,
    )


def _coupon(coupon_id: str, valid_until: datetime | None) -> DefineCoupon:
    return DefineCoupon(
        coupon_id=coupon_id,
        name="c",
        discount_type=DiscountType.FIXED,
        discount_value=3,
        min_order_amount=0,
        quantity=1,
        valid_from=None,
        valid_until=valid_until,
    )
