"""Orders, as far as the newservice service knows them. Pure: no clock, no I/O, no framework.

An order's row moves forward only:

    NONE -> COUNTED
"""

from datetime import datetime
from enum import StrEnum

import msgspec


class CountState(StrEnum):
    COUNTED = "COUNTED"


UNSETTLED: frozenset[str] = frozenset()
"""The states in which an order's row waits for another participant's event."""


class CountedOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order's row in this service."""

    order_id: str
    customer_id: str
    state: CountState
    updated_at: datetime
