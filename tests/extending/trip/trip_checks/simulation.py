"""The trip's simulation: `python -m tests.correctness.simulation --of trip_checks.simulation`."""

import asyncio
import random
from collections import Counter
from collections.abc import Coroutine, Iterator, Mapping
from typing import Any
from uuid import UUID

from car.app import participant as car
from car.commands import AddStation, PickUpCar
from chassis.participant import Participant
from chassis.processing.messages import IdempotencyKey
from flight.app import participant as flight
from flight.commands import AddFlight, BookTrip, CancelTrip
from hotel.app import participant as hotel
from hotel.commands import AddHotel
from tests.correctness.simulation.checks import databases, discrepancies, is_in_stream, states
from tests.correctness.simulation.external import NoExternalSystems
from tests.correctness.simulation.faults import Inject
from tests.correctness.simulation.machines import Cluster
from tests.correctness.simulation.workload import Workload
from trip_checks import audit
from trip_checks.ends import FORWARD
from trip_events.contract import SeatHeld

TRIPS = 20
SEATS = 18
CUSTOMER, FLIGHT, PLENTY, SCARCE = (str(UUID(int=n)) for n in (1, 2, 3, 4))


class TripWorkload(Workload):
    """Twenty trips on one flight; there are few rooms in one hotel, and few cars at one station."""

    facts = (PickUpCar,)

    async def prepare(self) -> None:
        await self.insist("flight", AddFlight(flight_id=FLIGHT, seats=SEATS))
        for each, free in ((PLENTY, 100), (SCARCE, self.chance.randint(0, 4))):
            await self.insist("hotel", AddHotel(hotel_id=each, rooms=free))
            await self.insist("car", AddStation(station_id=each, cars=free))
        self._seen: dict[str, str] = {}

    def clients(self) -> list[Coroutine[Any, Any, None]]:
        return [self._customer(number) for number in range(TRIPS)]

    def observe(self) -> Iterator[str]:
        """A trip moves on as its state diagram says, in one or several steps.

        A restored database is behind until it has caught up.
        """
        if "flight" in self.cluster.recovering:
            return
        for trip_id, state in states(self.cluster, "flight").items():
            before = self._seen.get(trip_id, "PENDING")
            if state not in _REACHABLE[before]:
                yield f"trip {trip_id} went from {before} to {state}"
            self._seen[trip_id] = state

    def at_rest(self) -> Iterator[str]:
        trips = states(self.cluster, "flight")
        for trip_id in set(self.placed.values()) - trips.keys():
            # A restored database brings back what was published.
            if not self.cluster.restored["flight"] or is_in_stream(self.cluster, SeatHeld, trip_id):
                yield f"trip {trip_id} was accepted and is lost"
        if not self.cluster.restored["flight"] and len(trips) > len(set(self.placed.values())):
            yield f"{len(trips)} trips, {len(self.placed)} were placed"
        yield from discrepancies(audit.checks(databases(self.cluster)))

    def ends(self) -> Counter[str]:
        return Counter(states(self.cluster, "flight").values())

    async def _customer(self, number: int) -> None:
        """Books a trip, sometimes twice under the same key; cancels it, or picks the car up."""
        command = BookTrip(
            trip_id=self.cluster.new_id(),
            customer_id=CUSTOMER,
            flight_id=FLIGHT,
            hotel_id=self._choice(),
            station_id=self._choice(),
        )
        key = IdempotencyKey("trips", f"{number}", f"{number}")
        times = 1 + (self.chance.random() < 0.2)
        calls = (self.insist("flight", command, key) for _ in range(times))
        ids = {each.result.trip_id for each in await asyncio.gather(*calls) if each is not None}
        if len(ids) > 1 and not self.cluster.restored["flight"]:
            self.violations.append(f"one key, several trips: {ids}")
        self.placed |= {f"{number}": trip_id for trip_id in ids}
        for trip_id in ids:
            await asyncio.sleep(self.chance.random() * 2)
            if self.chance.random() < 0.2:
                await self.insist("car", PickUpCar(trip_id=trip_id))
            if self.chance.random() < 0.5:
                cancel = CancelTrip(trip_id=trip_id)
                await asyncio.gather(*(self.insist("flight", cancel) for _ in range(2)))

    def _choice(self) -> str:
        return PLENTY if self.chance.random() < 0.7 else SCARCE


def _reachable(state: str) -> set[str]:
    found = {state}
    while more := {after for before, after in FORWARD if before in found} - found:
        found |= more
    return found


_REACHABLE = {state: _reachable(state) for state in {str(s) for move in FORWARD for s in move}}


class TripSimulation:
    saga = "trip"
    participants: Mapping[str, Participant[Any]] = {"flight": flight, "hotel": hotel, "car": car}
    environment: Mapping[str, str] = {"REPEAT_AFTER_SECONDS": "3", "PATIENCE_SECONDS": "1"}
    faults: Mapping[str, Inject] = {}

    def external_systems(self, _: random.Random) -> NoExternalSystems:
        return NoExternalSystems()

    def workload(self, cluster: Cluster, busy_seconds: float) -> TripWorkload:
        return TripWorkload(cluster, busy_seconds)


SIMULATION = TripSimulation()
