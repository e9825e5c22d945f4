"""The settings of a service, from variables of a test."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from chassis.settings import load
from events.participants import PARTICIPANTS


def settings_of(service: str, environment: Mapping[str, str] | None = None) -> Any:
    """Other variables have their defaults."""
    kind = import_module(f"{service}.settings").Settings
    return load(kind, service, PARTICIPANTS[service], environment or {})
