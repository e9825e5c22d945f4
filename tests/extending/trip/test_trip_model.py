"""Every interleaving of the trip, walked by the same checker as the shop's."""

from functools import cache

import pytest

from hotel.domain import StayState
from hotel.reactions import reactions
from hotel.unit_of_work import HotelUnitOfWork
from saga.reactions import Reactions
from tests.correctness.model.checker import NO_END, SearchResult, check
from tests.correctness.model.description import Scenario
from tests.correctness.model.world import edges_within, production
from trip_checks.model import MODEL
from trip_events.contract import CONTRACT, CarRefused, CarReleased, RoomReleased

NO_CAR = next(each for each in MODEL.small if each.name == "no car")
LOSS = next(each for each in MODEL.small if each.name == "a loss")


@cache
def searched(scenario: Scenario) -> SearchResult:
    return check(MODEL, scenario)


@pytest.mark.parametrize("scenario", MODEL.full, ids=lambda scenario: scenario.name)
def test_no_interleaving_breaks_an_invariant_and_every_trip_can_end(scenario: Scenario) -> None:
    result = searched(scenario)
    assert result.violation is None, str(result.violation)
    assert result.states > 10


def test_every_edge_of_the_trip_is_walked() -> None:
    walked = frozenset().union(*(searched(scenario).edges for scenario in MODEL.full))
    assert walked == edges_within(production(MODEL).values(), MODEL.streams)


def test_a_loss_without_retransmission_leaves_a_trip_without_an_end() -> None:
    violation = check(MODEL, LOSS, retransmits=False).violation
    assert violation is not None
    assert violation.what == NO_END


def test_a_room_that_is_not_released_is_found() -> None:
    """A hotel that reports the release and keeps the room."""
    forgetful = Reactions("hotel", CONTRACT)
    forgetful.reactions |= reactions.reactions
    forgetful.commands |= reactions.commands
    for event in (CarRefused, CarReleased):
        del forgetful.reactions[event]

    @forgetful.compensation
    def keep_the_room(event: CarRefused | CarReleased, uow: HotelUnitOfWork) -> RoomReleased:
        stay = uow.stays[event.trip_id]
        uow.stays[stay.trip_id] = stay.move_to(StayState.RELEASED, uow.now)
        return RoomReleased(trip_id=stay.trip_id, reason=None)

    violation = check(MODEL, NO_CAR, production(MODEL) | {"hotel": forgetful}).violation

    assert violation is not None
    assert violation.what == "hotel has 0 of 1 free, 0 are taken up"
    assert violation.schedule == [
        "hotel handles SeatHeld of trip 1",
        "car handles RoomHeld of trip 1",
    ]
