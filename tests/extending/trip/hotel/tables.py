"""The hotel service's tables, and how their rows are loaded and written."""

from sqlalchemy import CheckConstraint, Column, Integer, MetaData, Table

from chassis.storage.mapping import Mapped
from chassis.storage.tables import Time, Uuid, index_unsettled, one_of
from hotel.domain import UNSETTLED, Hotel, Stay, StayState

schema = MetaData()

hotels_table = Table(
    "hotels",
    schema,
    Column("hotel_id", Uuid, primary_key=True),
    Column("rooms", Integer, nullable=False),
    Column("free", Integer, nullable=False),
    CheckConstraint("free <= rooms", name="never_more_than_there_are"),
)

stays_table = Table(
    "stays",
    schema,
    Column("trip_id", Uuid, primary_key=True),
    Column("hotel_id", Uuid, nullable=False),
    Column("state", one_of(StayState), nullable=False),
    Column("updated_at", Time, nullable=False),
)
index_unsettled(stays_table, UNSETTLED)

hotels: Mapped[str, Hotel] = Mapped(hotels_table, Hotel, "hotel_id")
stays: Mapped[str, Stay] = Mapped(stays_table, Stay, "trip_id")
