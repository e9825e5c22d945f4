"""The order service's own settings, beside those of the chassis."""

from typing import Annotated

from chassis.settings import Settings as ChassisSettings
from chassis.settings import Whole


class Settings(ChassisSettings, frozen=True, kw_only=True):
    order_timeout_seconds: Annotated[
        int,
        Whole(
            "ORDER_TIMEOUT_SECONDS",
            600,
            1,
            30 * 24 * 3600,
            "An order that has not ended by then asks payment to decide.",
        ),
    ]
    wait_timeout_seconds: Annotated[
        int,
        Whole(
            "WAIT_TIMEOUT_SECONDS",
            3600,
            1,
            30 * 24 * 3600,
            "How long an order may wait for stock.",
        ),
    ]
    orders_per_second: Annotated[
        int,
        Whole(
            "ORDERS_PER_SECOND",
            0,
            0,
            1_000_000,
            "A fixed limit for an instance; beyond it 503 with Retry-After. 0: none.",
        ),
    ]
    overload_latency_seconds: Annotated[
        int,
        Whole(
            "LATE_SECONDS",
            2,
            0,
            3600,
            "When half of the orders take longer, no more are admitted than complete (load "
            "shedding); the others get 503 with Retry-After. 0: never.",
        ),
    ]
    max_listeners: Annotated[
        int,
        Whole(
            "MOST_LISTENERS",
            10_000,
            0,
            1_000_000,
            "Clients of an instance that follow an order live, and never more than half of the "
            "files that the process may open (`ulimit -n`); beyond it 503 with Retry-After.",
        ),
    ]
