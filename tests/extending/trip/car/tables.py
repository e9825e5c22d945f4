"""The car service's tables, and how their rows are loaded and written."""

from sqlalchemy import CheckConstraint, Column, Integer, MetaData, Table

from car.domain import Rental, RentalState, Station
from chassis.storage.mapping import Mapped
from chassis.storage.tables import Time, Uuid, one_of

schema = MetaData()

stations_table = Table(
    "stations",
    schema,
    Column("station_id", Uuid, primary_key=True),
    Column("cars", Integer, nullable=False),
    Column("free", Integer, nullable=False),
    CheckConstraint("free <= cars", name="never_more_than_there_are"),
)

rentals_table = Table(
    "rentals",
    schema,
    Column("trip_id", Uuid, primary_key=True),
    Column("station_id", Uuid, nullable=False),
    Column("state", one_of(RentalState), nullable=False),
    Column("updated_at", Time, nullable=False),
)

stations: Mapped[str, Station] = Mapped(stations_table, Station, "station_id")
rentals: Mapped[str, Rental] = Mapped(rentals_table, Rental, "trip_id")
