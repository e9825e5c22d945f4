"""What the reactions and commands of the hotel service work on."""

from datetime import datetime

from hotel.domain import Hotel, Stay, StayState
from saga.unit_of_work import Rows, UnitOfWork


class HotelUnitOfWork(UnitOfWork):
    """The rows of a batch."""

    def __init__(self, now: datetime, hotels: Rows[str, Hotel], stays: Rows[str, Stay]) -> None:
        super().__init__(now, hotels, stays)
        self.hotels = hotels
        self.stays = stays

    def record(self, trip_id: str, hotel_id: str, state: StayState) -> None:
        """Put the row of a new trip."""
        self.stays[trip_id] = Stay(
            trip_id=trip_id, hotel_id=hotel_id, state=state, updated_at=self.now
        )
