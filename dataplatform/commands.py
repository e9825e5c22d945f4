"""The commands of the data platform's sender: a due delivery, and the outcomes of sending it."""

import msgspec

from saga.errors import NotFound


class Send(msgspec.Struct, frozen=True, kw_only=True):
    """This delivery is due."""

    order_id: str


class DeliveryAccepted(msgspec.Struct, frozen=True, kw_only=True):
    """The platform has accepted it."""

    order_id: str


class DeliveryFailed(msgspec.Struct, frozen=True, kw_only=True):
    """The platform did not accept it, or the outcome is unknown.

    `wait_seconds` is the pause that the platform asked for.
    """

    order_id: str
    error: str
    wait_seconds: int = 0


# ---------------------------------------------------------------- refusals


def no_delivery(order_id: str) -> NotFound:
    return NotFound(
        f"there is no delivery for order {order_id}; only completed orders are sent",
        code="DELIVERY_NOT_FOUND",
        values={"orderId": order_id},
    )
