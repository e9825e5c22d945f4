"""The queues for stock: the orders that wait for a product, in the order of their tickets. Pure.

An order has a place in the queue of each product that it wants. It is served when it is first in
all of these queues and all of its lines are available: strictly first come, first served for each
product, and no order holds a part of its lines.
"""

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from datetime import datetime

import msgspec

from saga.unit_of_work import Rows


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """An order's place in the queue of one product. `ticket` counts up for each product."""

    product_id: str
    order_id: str
    ticket: int
    quantity: int
    waiting: bool
    since: datetime


class Queues(Rows[tuple[str, str], Place]):
    """Places by product and order. Of a long queue its beginning may be loaded alone.

    `are_loaded`: every order that this batch may serve is among them. If not, none may be served.
    """

    def __init__(
        self, loaded: Mapping[tuple[str, str], Place] | None = None, *, are_loaded: bool = True
    ) -> None:
        super().__init__(loaded)
        self.are_loaded = are_loaded
        self._line_up()

    def __setitem__(self, key: tuple[str, str], place: Place) -> None:
        if key not in self:
            self._lines[place.product_id].append(place)
        super().__setitem__(key, place)

    def roll_back(self) -> None:
        if self.has_open_changes:
            super().roll_back()
            self._line_up()

    def first(self, product_id: str) -> Place | None:
        """The place of the order that is served next."""
        line = self._lines[product_id]
        while line and not self._waits(line[0]):
            line.popleft()
        return line[0] if line else None

    def waiting(self, product_id: str) -> Iterator[Place]:
        """The places of all orders that wait for the product, first to last."""
        return iter([place for place in self._lines[product_id] if self._waits(place)])

    def _line_up(self) -> None:
        self._lines: dict[str, deque[Place]] = defaultdict(deque)
        for place in sorted(self.released, key=lambda place: place.ticket):
            if place.waiting:
                self._lines[place.product_id].append(place)

    def _waits(self, place: Place) -> bool:
        return self[place.product_id, place.order_id].waiting
