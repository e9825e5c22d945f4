"""The settings of the product service, beside those of every service."""

from typing import Annotated

from chassis.settings import Settings as ChassisSettings
from chassis.settings import Whole


class Settings(ChassisSettings, frozen=True, kw_only=True):
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
