"""What the reactions and commands of the car service work on."""

from datetime import datetime

from car.domain import Rental, RentalState, Station
from saga.unit_of_work import Rows, UnitOfWork


class CarUnitOfWork(UnitOfWork):
    """The rows of a batch."""

    def __init__(
        self, now: datetime, stations: Rows[str, Station], rentals: Rows[str, Rental]
    ) -> None:
        super().__init__(now, stations, rentals)
        self.stations = stations
        self.rentals = rentals

    def record(self, trip_id: str, station_id: str, state: RentalState) -> None:
        """Put the row of a new trip."""
        self.rentals[trip_id] = Rental(
            trip_id=trip_id, station_id=station_id, state=state, updated_at=self.now
        )
