"""The hotel service's settings: those of the chassis, and none of its own."""

from chassis.settings import Settings as ChassisSettings


class Settings(ChassisSettings, frozen=True, kw_only=True):
    """None of its own."""
