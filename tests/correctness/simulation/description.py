"""What the simulation has to know of a choreography.

The machinery itself knows none. `tests.correctness.simulation.shop` describes the shop, and
`tests/extending/trip` a trip.
"""

from collections.abc import Mapping
from typing import Protocol

from tests.correctness.simulation.faults import Inject
from tests.correctness.simulation.machines import Cluster, Deployment
from tests.correctness.simulation.workload import Workload


class Simulation(Deployment, Protocol):
    """A choreography. `saga` is what its sagas are called: an order, a trip."""

    @property
    def saga(self) -> str: ...
    @property
    def faults(self) -> Mapping[str, Inject]:
        """Faults of its own, beside those that every choreography meets."""

    def workload(self, cluster: Cluster, busy_seconds: float) -> Workload:
        """What its clients do in a schedule."""
