"""The flight service's rows: loading those of a batch, saving what changed, reading."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection

from flight import tables
from flight.domain import Flight, Trip
from flight.unit_of_work import FlightUnitOfWork
from saga.unit_of_work import values_of


def load(connection: Connection, messages: Sequence[object], now: datetime) -> FlightUnitOfWork:
    """The trips, and the flights that they are on or want."""
    trips = tables.trips.load(connection, "trip_id", values_of(messages, "trip_id"))
    wanted = values_of([*messages, *trips.loaded], "flight_id")
    return FlightUnitOfWork(now, tables.flights.load(connection, "flight_id", wanted), trips)


def save(connection: Connection, uow: FlightUnitOfWork) -> None:
    tables.flights.save(connection, uow.flights)
    tables.trips.save(connection, uow.trips)


async def find_flight(connection: AsyncConnection, flight_id: str) -> Flight | None:
    return await tables.flights.find(connection, "flight_id", flight_id)


async def find_trip(connection: AsyncConnection, trip_id: str) -> Trip | None:
    return await tables.trips.find(connection, "trip_id", trip_id)
