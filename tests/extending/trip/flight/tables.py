"""The flight service's tables, and how their rows are loaded and written."""

from sqlalchemy import CheckConstraint, Column, Integer, MetaData, Table

from chassis.storage.mapping import Mapped
from chassis.storage.tables import Time, Uuid, index_unsettled, one_of
from flight.domain import UNSETTLED, Flight, Trip, TripState
from trip_events.contract import Refusal

schema = MetaData()

flights_table = Table(
    "flights",
    schema,
    Column("flight_id", Uuid, primary_key=True),
    Column("seats", Integer, nullable=False),
    Column("free", Integer, nullable=False),
    CheckConstraint("free <= seats", name="never_more_than_there_are"),
)

trips_table = Table(
    "trips",
    schema,
    Column("trip_id", Uuid, primary_key=True),
    Column("customer_id", Uuid, nullable=False),
    Column("flight_id", Uuid, nullable=False),
    Column("state", one_of(TripState), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("fail_reason", one_of(Refusal)),
    Column("updated_at", Time, nullable=False),
)
index_unsettled(trips_table, UNSETTLED)

flights: Mapped[str, Flight] = Mapped(flights_table, Flight, "flight_id")
trips: Mapped[str, Trip] = Mapped(trips_table, Trip, "trip_id")
