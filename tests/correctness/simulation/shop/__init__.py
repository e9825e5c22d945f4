"""The shop, as the simulation needs it: its services, gateway, clients and checks."""

from tests.correctness.simulation.shop.simulation import SIMULATION

__all__ = ["SIMULATION"]
