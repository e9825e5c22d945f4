"""What the loyalty service does when it hears an event. It says nothing."""

from events.contract import OrderCancelled, OrderCompleted
from loyalty.domain import KRW_PER_POINT, Rewards, RewardState
from saga.reactions import Reactions

reactions = Reactions("loyalty")


@reactions.on
def reward(event: OrderCompleted, rewards: Rewards) -> None:
    """Give the customer points for what was paid."""
    if event.order_id not in rewards.rows:
        points = event.payable_amount // KRW_PER_POINT
        rewards.record(event.order_id, event.customer_id, RewardState.EARNED, points)


@reactions.compensation
def take_back(event: OrderCancelled, rewards: Rewards) -> None:
    """The order is cancelled: its points are gone, also those that it never got."""
    known = rewards.rows.get(event.order_id)
    points = known.points if known else 0
    rewards.record(event.order_id, event.customer_id, RewardState.TAKEN_BACK, points)
