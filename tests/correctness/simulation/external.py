"""The external systems of a simulated choreography."""

from collections import Counter
from typing import Protocol

from chassis.ports import ExternalSystem
from chassis.processing.external_calls import NO_EXTERNAL_SYSTEM


class ExternalSystems(Protocol):
    """Shared by all machines: what they have done stays when a machine is killed."""

    @property
    def faults(self) -> Counter[str]:
        """What went wrong there, and how often."""

    def of(self, service: str) -> ExternalSystem:
        """One instance's way there."""

    def calm(self) -> None:
        """Nothing goes wrong any more."""

    def advance(self, now_seconds: float) -> None:
        """Let happen what is due by now."""


class NoExternalSystems:
    """For a choreography without external calls."""

    def __init__(self) -> None:
        self.faults = Counter[str]()

    def of(self, _: str) -> ExternalSystem:
        return NO_EXTERNAL_SYSTEM

    def calm(self) -> None:
        """Nothing goes wrong here."""

    def advance(self, now_seconds: float) -> None:
        """Nothing becomes due here."""
