"""Purging the broker of an erased user: a call after the commit, begun again until it succeeds.

It comes after all services have erased their copies. What an instance was publishing meanwhile may
arrive a moment later, so the erasure is done only after a second purge, `SETTLE` after the first.
"""

from collections.abc import Mapping
from typing import Any

from chassis.components import Component
from chassis.ports import Broker
from events.contract import PERSONAL
from user.commands import EndErasure
from user.unit_of_work import Purge, UserUnitOfWork


class Purging(Component[UserUnitOfWork]):
    """The external system of the user service: the broker, as far as it forgets a person."""

    def __init__(self) -> None:
        self._broker: Broker

    async def start(self, service: Any) -> None:
        self._broker = service.broker

    async def __call__(self, call: Purge) -> EndErasure:
        """Raises BrokerAway."""
        await self._broker.purge(PERSONAL.name, PERSONAL.subjects_of(call.user_id))
        return EndErasure(user_id=call.user_id)

    def problems(self) -> Mapping[str, str | None]:
        """The broker's state is shown already."""
        return {}
