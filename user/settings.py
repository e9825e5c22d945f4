"""The user service's settings, beside those of every service."""

from typing import Annotated

from chassis.settings import Settings as ChassisSettings
from chassis.settings import Whole


class Settings(ChassisSettings, frozen=True, kw_only=True):
    """How access tokens are signed."""

    key_seconds: Annotated[
        int,
        Whole(
            "AUTH_KEY_SECONDS",
            30 * 24 * 3600,
            1,
            366 * 24 * 3600,
            "How long a key signs access tokens before another one takes over.",
        ),
    ]
