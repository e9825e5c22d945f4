"""The own settings of the data platform's sender, beside those of the chassis."""

from typing import Annotated

from chassis.settings import Address
from chassis.settings import Settings as ChassisSettings


class Settings(ChassisSettings, frozen=True, kw_only=True):
    data_platform_url: Annotated[
        str | None,
        Address(
            "DATA_PLATFORM_URL",
            "The address that completed orders are posted to, as it is. Without one they wait.",
            "http",
            "https",
            is_base=False,
            shown="the local stack's simulator",
        ),
    ]
