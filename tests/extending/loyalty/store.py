"""The loyalty service's table: loading the rows of a batch, saving what changed, reading."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import BigInteger, Column, Connection, MetaData, Table, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.storage.mapping import Mapped
from chassis.storage.tables import Time, Uuid, one_of
from loyalty.domain import Reward, Rewards, RewardState
from saga.unit_of_work import values_of

schema = MetaData()

rewards_table = Table(
    "rewards",
    schema,
    Column("order_id", Uuid, primary_key=True),
    Column("customer_id", Uuid, nullable=False, index=True),
    Column("state", one_of(RewardState), nullable=False),
    Column("points", BigInteger, nullable=False),
    Column("updated_at", Time, nullable=False),
)

_rewards: Mapped[str, Reward] = Mapped(rewards_table, Reward, "order_id")


def load(connection: Connection, messages: Sequence[object], now: datetime) -> Rewards:
    return Rewards(now, _rewards.load(connection, "order_id", values_of(messages, "order_id")))


def save(connection: Connection, rewards: Rewards) -> None:
    _rewards.save(connection, rewards.rows)


async def points_of(connection: AsyncConnection, customer_id: str) -> int:
    """What a customer has, over all orders that were not cancelled."""
    columns = rewards_table.c
    his = (columns.customer_id == customer_id) & (columns.state == RewardState.EARNED)
    return int(await connection.scalar(select(func.sum(columns.points)).where(his)) or 0)
