"""The hotel service's rows: loading those of a batch, saving what changed, reading."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection

from hotel import tables
from hotel.domain import Hotel
from hotel.unit_of_work import HotelUnitOfWork
from saga.unit_of_work import values_of


def load(connection: Connection, messages: Sequence[object], now: datetime) -> HotelUnitOfWork:
    """The trips' rows, and the hotels that they are in or want."""
    stays = tables.stays.load(connection, "trip_id", values_of(messages, "trip_id"))
    wanted = values_of([*messages, *stays.loaded], "hotel_id")
    return HotelUnitOfWork(now, tables.hotels.load(connection, "hotel_id", wanted), stays)


def save(connection: Connection, uow: HotelUnitOfWork) -> None:
    tables.hotels.save(connection, uow.hotels)
    tables.stays.save(connection, uow.stays)


async def find_hotel(connection: AsyncConnection, hotel_id: str) -> Hotel | None:
    return await tables.hotels.find(connection, "hotel_id", hotel_id)
