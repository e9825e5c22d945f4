"""Products, their stock, and what orders hold of it. Pure: no clock, no I/O, no framework.

The state of an order's hold only moves forward:

    NONE -> WAITING -> HELD -> SOLD      (or NONE -> HELD at once)
     |         |        |       |
     v         v        v       v
    REFUSED <--+     RELEASED   <- NONE, WAITING (a tombstone: the order had failed already)

For each product: units brought in = available + held + sold + units taken out. Every change of
`available` has its row in the stock ledger, written in the same transaction.
"""

from datetime import datetime
from enum import StrEnum
from unicodedata import normalize

import msgspec

from events.contract import CouponUsed, Line, ProductStatus

MAX_STOCK = 10**12
INITIAL = "INITIAL"
"""The ledger key of a product's first stock."""


class HoldState(StrEnum):
    WAITING = "WAITING"
    HELD = "HELD"
    SOLD = "SOLD"
    REFUSED = "REFUSED"
    RELEASED = "RELEASED"


UNSETTLED = frozenset({HoldState.WAITING, HoldState.HELD})


def to_search_text(text: str) -> str:
    """The text as it is searched: without case, and composed (Hangul may come as single letters).

    In Python, for each database folds case and normal form in its own way, or only ASCII.
    """
    return normalize("NFC", normalize("NFD", text).casefold())


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """`available` units can be sold now; `reserved` units are held by orders not paid yet.

    `sold_out` is what its last ProductChanged told: in a restored database it may be wrong.
    `waiting` counts the orders in the product's queue, `last_ticket` is the newest ticket in it.
    """

    product_id: str
    version: int
    name: str
    price: int
    description: str
    category: str
    status: ProductStatus
    available: int
    reserved: int
    sold_out: bool
    waiting: int = 0
    last_ticket: int = 0
    created_at: datetime
    updated_at: datetime

    @property
    def is_shown_wrongly(self) -> bool:
        return self.sold_out != (self.available <= 0)

    @property
    def search_name(self) -> str:
        return to_search_text(self.name)


class Category(msgspec.Struct, frozen=True, kw_only=True):
    """Products name their category by its name; an empty name is none."""

    category_id: str
    name: str
    created_at: datetime


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A row of a product's stock ledger. `request_id` is unique for the product.

    `booked_by` is the name that the client sent; None for entries that the shop made itself.
    """

    product_id: str
    request_id: str
    delta: int
    reason: str
    order_id: str | None
    balance_after: int
    created_at: datetime
    booked_by: str | None = None


class PriceSince(msgspec.Struct, frozen=True, kw_only=True):
    """A product's price in KRW from a time on, until the next change."""

    product_id: str
    price: int
    since: datetime


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """An order's row in this service: the lines that it waits for, holds, or has bought.

    `wanted` is the event that asked for the stock, while the order waits. `updated_at` of a SOLD
    hold is the time of its sale.
    """

    order_id: str
    state: HoldState
    items: tuple[Line, ...]
    wanted: CouponUsed | None = None
    updated_at: datetime

    @property
    def is_tombstone(self) -> bool:
        """The order failed before it could hold anything here."""
        return self.state is HoldState.RELEASED and not self.items

    def move_to(self, state: HoldState, now: datetime) -> "Hold":
        return msgspec.structs.replace(self, state=state, updated_at=now)
