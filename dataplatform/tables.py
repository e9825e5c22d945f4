"""The table of the data platform's sender, and how its rows are loaded and written.

The body of a delivery is in its row as JSON: it is written once and read as a whole.
"""

from sqlalchemy import Column, Integer, MetaData, Table, Text

from chassis.storage.mapping import Mapped
from chassis.storage.tables import Json, Time, Uuid, index_states, index_unsettled, one_of
from dataplatform.domain import UNSETTLED, CompletedOrder, Delivery, DeliveryState

schema = MetaData()

deliveries_table = Table(
    "deliveries",
    schema,
    Column("order_id", Uuid, primary_key=True),
    Column("state", one_of(DeliveryState), nullable=False),
    Column("body", Json(CompletedOrder), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("last_error", Text),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
    Column("next_at", Time),
    Column("sent_at", Time),
)
for _state in DeliveryState:
    index_states(f"deliveries_{_state.lower()}", deliveries_table.c.order_id, [_state])
index_unsettled(deliveries_table, UNSETTLED)
index_states("deliveries_due", deliveries_table.c.next_at, UNSETTLED)

deliveries: Mapped[str, Delivery] = Mapped(deliveries_table, Delivery, "order_id")
