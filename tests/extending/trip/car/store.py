"""The car service's rows: loading those of a batch, saving what changed, reading."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection

from car import tables
from car.domain import Station
from car.unit_of_work import CarUnitOfWork
from saga.unit_of_work import values_of


def load(connection: Connection, messages: Sequence[object], now: datetime) -> CarUnitOfWork:
    """The trips' rows, and the stations whose cars they have or want."""
    rentals = tables.rentals.load(connection, "trip_id", values_of(messages, "trip_id"))
    wanted = values_of([*messages, *rentals.loaded], "station_id")
    return CarUnitOfWork(now, tables.stations.load(connection, "station_id", wanted), rentals)


def save(connection: Connection, uow: CarUnitOfWork) -> None:
    tables.stations.save(connection, uow.stations)
    tables.rentals.save(connection, uow.rentals)


async def find_station(connection: AsyncConnection, station_id: str) -> Station | None:
    return await tables.stations.find(connection, "station_id", station_id)
