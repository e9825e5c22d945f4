"""What the coupon service can be told: what every service can."""

from chassis.settings import Settings as ChassisSettings


class Settings(ChassisSettings, frozen=True, kw_only=True):
    """Nothing of its own."""
