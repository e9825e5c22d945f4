"""Points for what was bought. Pure: no clock, no I/O, no framework.

An order's row moves forward only:

    NONE -> EARNED -> TAKEN_BACK    <- NONE (a tombstone: its cancel was heard of first)
"""

from datetime import datetime
from enum import StrEnum

import msgspec

from saga.unit_of_work import Rows, UnitOfWork

KRW_PER_POINT = 100


class RewardState(StrEnum):
    EARNED = "EARNED"
    TAKEN_BACK = "TAKEN_BACK"


UNSETTLED: frozenset[str] = frozenset()
"""Nobody waits for this service, and it waits for nobody."""


class Reward(msgspec.Struct, frozen=True, kw_only=True):
    """An order's row in this service. `points` count while it is EARNED."""

    order_id: str
    customer_id: str
    state: RewardState
    points: int
    updated_at: datetime


class Rewards(UnitOfWork):
    """What a batch works on."""

    def __init__(self, now: datetime, rows: Rows[str, Reward]) -> None:
        super().__init__(now, rows)
        self.rows = rows

    def record(self, order_id: str, customer_id: str, state: RewardState, points: int) -> None:
        self.rows[order_id] = Reward(
            order_id=order_id,
            customer_id=customer_id,
            state=state,
            points=points,
            updated_at=self.now,
        )
