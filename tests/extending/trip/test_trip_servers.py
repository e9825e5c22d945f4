"""The trip on a real broker and real processes: booked, refused, cancelled, and killed."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from ops.audit.delivery import Deliveries
from ops.audit.stream import read
from ops.audit.tolerance import Tolerance
from saga.choreography.graph import load
from servers import Trips, running
from tests.kit.client import wait_until
from trip_checks import audit
from trip_events.contract import TRIPS
from trip_events.participants import PARTICIPANTS

ENDED = ("BOOKED", "FAILED", "CANCELLED")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trips]:
    with running(tmp_path_factory.mktemp("trip")) as trips:
        yield trips


@pytest.fixture
async def trips(servers: Trips) -> AsyncIterator[Trips]:
    await servers.ready()
    yield servers
    await servers.quiet()


class World:
    """A flight, a hotel and a rental station of a test's own."""

    def __init__(self, trips: Trips, *, flight: str, hotel: str, station: str) -> None:
        self._trips = trips
        self.flight, self.hotel, self.station = flight, hotel, station
        self.wanted = {
            "customerId": str(uuid4()),
            "flightId": flight,
            "hotelId": hotel,
            "stationId": station,
        }

    async def book(self) -> str:
        """Returns the id of a trip that was accepted."""
        trip_id: str = (await self._trips.post("flight", "trips", self.wanted))["tripId"]
        return trip_id

    async def booked(self) -> str:
        trip_id = await self.book()
        await self._trips.trip_in(trip_id, "BOOKED")
        return trip_id

    async def free(self) -> tuple[int, int, int]:
        """The free seats, rooms and cars."""
        flight = await self._trips.get("flight", f"flights/{self.flight}")
        hotel = await self._trips.get("hotel", f"hotels/{self.hotel}")
        station = await self._trips.get("car", f"stations/{self.station}")
        return flight["free"], hotel["free"], station["free"]


async def world(trips: Trips, *, seats: int = 5, rooms: int = 5, cars: int = 5) -> World:
    return World(
        trips,
        flight=(await trips.post("flight", "flights", {"seats": seats}))["flightId"],
        hotel=(await trips.post("hotel", "hotels", {"rooms": rooms}))["hotelId"],
        station=(await trips.post("car", "stations", {"cars": cars}))["stationId"],
    )


async def test_a_trip_takes_a_seat_a_room_and_a_car(trips: Trips) -> None:
    place = await world(trips)

    await place.booked()

    assert await place.free() == (4, 4, 4)


async def test_a_full_flight_refuses_at_once(trips: Trips) -> None:
    place = await world(trips, seats=1)
    await place.booked()

    answer = await trips.call("flight", "POST", "/api/v1/trips", place.wanted)

    assert (answer.status, answer.body["error"]) == (409, "NO_SEAT")


@pytest.mark.parametrize(
    ("rooms", "cars", "reason"), [(0, 5, "NO_ROOM"), (5, 0, "NO_CAR"), (0, 0, "NO_ROOM")]
)
async def test_a_refusal_undoes_what_was_held(
    trips: Trips, rooms: int, cars: int, reason: str
) -> None:
    place = await world(trips, rooms=rooms, cars=cars)

    failed = await trips.trip_in(await place.book(), *ENDED)

    assert (failed["state"], failed["failReason"]) == ("FAILED", reason)
    assert await place.free() == (5, rooms, cars)


async def test_a_cancel_undoes_all_three_parts(trips: Trips) -> None:
    place = await world(trips)
    trip_id = await place.booked()

    await trips.post("flight", f"trips/{trip_id}/cancel")

    await trips.trip_in(trip_id, "CANCELLED")
    assert await place.free() == (5, 5, 5)


async def test_a_cancel_is_refused_once_the_car_is_picked_up(trips: Trips) -> None:
    place = await world(trips)
    trip_id = await place.booked()
    await trips.post("car", f"rentals/{trip_id}/pick-up")

    for _ in range(2):  # each attempt gets its own answer
        await trips.post("flight", f"trips/{trip_id}/cancel")
        await trips.trip_in(trip_id, "BOOKED")

    assert await place.free() == (4, 4, 4)


async def test_the_same_idempotency_key_books_one_trip(trips: Trips) -> None:
    place = await world(trips)
    key = str(uuid4())

    answers = await asyncio.gather(
        *(
            trips.call("flight", "POST", "/api/v1/trips", place.wanted, idempotency_key=key)
            for _ in range(5)
        )
    )

    [trip_id] = {answer.body["tripId"] for answer in answers}
    await trips.trip_in(trip_id, "BOOKED")
    assert await place.free() == (4, 4, 4)


@pytest.mark.parametrize("service", PARTICIPANTS)
async def test_every_trip_ends_though_a_participant_is_killed(trips: Trips, service: str) -> None:
    place = await world(trips, seats=30, rooms=25, cars=20)
    placed = [await place.book() for _ in range(10)]

    trips.kill(service)
    if service == "flight":
        trips.start(service)
        await trips.ready()
        placed += await asyncio.gather(*(place.book() for _ in range(20)))
    else:
        placed += await asyncio.gather(*(place.book() for _ in range(20)))
        trips.start(service)

    ends = [await trips.trip_in(trip_id, *ENDED) for trip_id in placed]
    assert [end["state"] for end in ends].count("BOOKED") == 20
    # A trip without a car releases its room, which may serve a trip that asks for one later.
    reasons = Counter(end["failReason"] for end in ends if end["state"] == "FAILED")
    assert reasons.keys() <= {"NO_ROOM", "NO_CAR"}
    assert reasons["NO_CAR"] >= 5
    assert reasons.total() == 10
    await trips.quiet()
    assert await place.free() == (10, 5, 0)


async def test_every_trip_ends_though_the_broker_is_killed(trips: Trips) -> None:
    place = await world(trips, seats=20, rooms=20, cars=20)
    placed = [await place.book() for _ in range(10)]

    trips.kill("nats")
    placed += [await place.book() for _ in range(10)]
    trips.start_broker()

    assert {(await trips.trip_in(each, *ENDED))["state"] for each in placed} == {"BOOKED"}


async def test_a_dead_letter_is_previewed_redriven_and_dismissed(trips: Trips) -> None:
    trip_id = str(uuid4())
    async with trips.admin() as client:
        await client.jetstream().publish(f"trips.{trip_id}.SeatHeld", b"not json")

    async def is_dead_letter() -> bool:
        return bool((await trips.get("hotel", "ops/dead-letters"))["total"] == 1)

    await wait_until(is_dead_letter, "the message is a dead letter")
    [letter] = (await trips.get("hotel", "ops/dead-letters"))["items"]
    path = f"ops/dead-letters/{letter['id']}"
    assert (await trips.get("hotel", f"{path}/preview"))["error"] == letter["error"]
    assert (await trips.post("hotel", f"{path}/redrive"))["status"] == "FAILED_AGAIN"
    dismissed = await trips.post("hotel", f"{path}/dismiss", {"reason": "a test"})
    assert (dismissed["status"], dismissed["attempts"]) == ("DISMISSED", 1)


async def test_the_audit_finds_everything_in_order(trips: Trips) -> None:
    """Runs last: on all that the tests above have left."""
    await trips.quiet()
    for service in PARTICIPANTS:
        letters = (await trips.get(service, "ops/dead-letters"))["items"]
        assert [each["status"] for each in letters] == ["DISMISSED"] * (service == "hotel")
    async with trips.observer() as client:
        streams = {TRIPS.name: await read(client, TRIPS)}
    nothing_under_way = Tolerance(
        began_at=datetime.now(UTC),
        quiet_seconds=0,
        limit_seconds=0,
        inbox_seconds=3600,
        wait_seconds=0,
    )

    with trips.databases() as databases:
        deliveries = Deliveries(databases, load("trip_events"), {}, nothing_under_way)
        results = [*deliveries.checks(streams), *audit.checks(databases)]

    assert [str(each) for result in results for each in result.discrepancies] == []
    assert all(result.looked_at for result in results)


async def test_the_audit_sees_a_trip_that_is_half_done(trips: Trips) -> None:
    """A room that was released behind the trip's back."""
    place = await world(trips)
    trip_id = await place.booked()
    await trips.quiet()

    with trips.databases() as databases:
        release(databases["hotel"], trip_id)
        found = [each for result in audit.checks(databases) for each in result.discrepancies]
        databases["hotel"].rollback()

    assert [each.what for each in found] == [
        f"hotel {place.hotel} has 4 of 5 rooms free, trips hold 0",
        f"trip {trip_id} is BOOKED, hotel has RELEASED",
    ]


def release(database: Any, trip_id: str) -> None:
    database.exec_driver_sql("UPDATE stays SET state = 'RELEASED' WHERE trip_id = ?", (trip_id,))
