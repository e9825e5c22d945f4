"""The trip's audit: checks in SQL on the services' databases, in the form that `ops.audit` has."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from sqlalchemy import Connection, text

from ops.audit.findings import Discrepancy, Result, SqlCheck, result
from trip_checks.ends import ENDS

ENDED = "trips: each has ended all done or all undone"

CAPACITY = {
    "flight": SqlCheck(
        check="flights: a seat that is not free is a trip's",
        counted="SELECT COUNT(*) FROM flights",
        wrong="""SELECT f.flight_id, f.free, f.seats, COUNT(t.trip_id) AS held
            FROM flights f LEFT JOIN trips t ON t.flight_id = f.flight_id
                AND t.state IN ('PENDING', 'BOOKED', 'CANCELLING')
            GROUP BY f.flight_id, f.free, f.seats
            HAVING f.free < 0 OR f.free <> f.seats - COUNT(t.trip_id)""",
        what="flight {flight_id} has {free} of {seats} seats free, trips hold {held}",
    ),
    "hotel": SqlCheck(
        check="hotels: a room that is not free is a trip's",
        counted="SELECT COUNT(*) FROM hotels",
        wrong="""SELECT h.hotel_id, h.free, h.rooms, COUNT(s.trip_id) AS held
            FROM hotels h LEFT JOIN stays s ON s.hotel_id = h.hotel_id
                AND s.state IN ('HELD', 'BOOKED')
            GROUP BY h.hotel_id, h.free, h.rooms
            HAVING h.free < 0 OR h.free <> h.rooms - COUNT(s.trip_id)""",
        what="hotel {hotel_id} has {free} of {rooms} rooms free, trips hold {held}",
    ),
    "car": SqlCheck(
        check="stations: a car that is not free is a trip's",
        counted="SELECT COUNT(*) FROM stations",
        wrong="""SELECT s.station_id, s.free, s.cars, COUNT(r.trip_id) AS held
            FROM stations s LEFT JOIN rentals r ON r.station_id = s.station_id
                AND r.state IN ('BOOKED', 'PICKED_UP')
            GROUP BY s.station_id, s.free, s.cars
            HAVING s.free < 0 OR s.free <> s.cars - COUNT(r.trip_id)""",
        what="station {station_id} has {free} of {cars} cars free, trips hold {held}",
    ),
}

_STATES = {
    "flight": "SELECT trip_id, state FROM trips",
    "hotel": "SELECT trip_id, state FROM stays",
    "car": "SELECT trip_id, state FROM rentals",
}


def checks(databases: Mapping[str, Connection]) -> list[Result]:
    """Everything that must hold once all trips have ended."""
    capacity = [check.run(databases[service]) for service, check in CAPACITY.items()]
    return [*capacity, _ended(databases)]


def _ended(databases: Mapping[str, Connection]) -> Result:
    states: dict[str, dict[str, str]] = defaultdict(dict)
    for service, query in _STATES.items():
        for trip_id, state in databases[service].execute(text(query)):
            states[trip_id][service] = state
    return result(ENDED, len(states), _not_ended(states))


def _not_ended(states: Mapping[str, Mapping[str, str]]) -> Iterator[Discrepancy]:
    for trip_id, rows in states.items():
        state = rows.get("flight", "missing")
        expected = ENDS.get(state)
        if expected is None:
            yield Discrepancy(check=ENDED, what=f"trip {trip_id} is {state}")
            continue
        for service, allowed in expected.items():
            if rows.get(service) not in allowed:
                what = f"trip {trip_id} is {state}, {service} has {rows.get(service)}"
                yield Discrepancy(check=ENDED, what=what)
