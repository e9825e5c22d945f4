"""All done or all undone: how a trip may end, and which rows of hotel and car belong to that."""

from car.domain import RentalState
from flight.domain import TripState
from hotel.domain import StayState

HOLDS: dict[str, frozenset[str]] = {
    "flight": frozenset({TripState.PENDING, TripState.BOOKED, TripState.CANCELLING}),
    "hotel": frozenset({StayState.HELD, StayState.BOOKED}),
    "car": frozenset({RentalState.BOOKED, RentalState.PICKED_UP}),
}
"""The states in which a trip's row takes up a seat, a room, a car."""

ENDS: dict[str, dict[str, frozenset[str | None]]] = {
    TripState.BOOKED: {
        "hotel": frozenset({StayState.BOOKED}),
        "car": frozenset({RentalState.BOOKED, RentalState.PICKED_UP}),
    },
    TripState.FAILED: {
        "hotel": frozenset({StayState.REFUSED, StayState.RELEASED}),
        "car": frozenset({None, RentalState.REFUSED}),
    },
    TripState.CANCELLED: {
        "hotel": frozenset({StayState.RELEASED}),
        "car": frozenset({RentalState.RELEASED}),
    },
}
"""By the flight's state of a trip that has ended. None: there is no row."""

FORWARD = {
    (TripState.PENDING, TripState.BOOKED),
    (TripState.PENDING, TripState.FAILED),
    (TripState.BOOKED, TripState.CANCELLING),
    (TripState.CANCELLING, TripState.BOOKED),
    (TripState.CANCELLING, TripState.CANCELLED),
}
"""The moves that a client may see."""
