"""The queues for stock: who waits for a product, in the order in which they came. Pure.

An order has a place in the queue of each product that it wants. It is served when it is the first
in all of them and all of its lines are there: strictly first come, first served for each product,
and nobody holds a part of what it wants.
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

    `are_known`: whoever may be served now is among them. Where they are not, nobody can be served.
    """

    def __init__(
        self, loaded: Mapping[tuple[str, str], Place] | None = None, *, are_known: bool = True
    ) -> None:
        super().__init__(loaded)
        self.are_known = are_known
        self._line_up()

    def __setitem__(self, key: tuple[str, str], place: Place) -> None:
        if key not in self:
            self._lines[place.product_id].append(place)
        super().__setitem__(key, place)

    def roll_back(self) -> None:
        if self._open:
            super().roll_back()
            self._line_up()

    def first(self, product_id: str) -> Place | None:
        """Whose turn it is."""
        line = self._lines[product_id]
        while line and not self._waits(line[0]):
            line.popleft()
        return line[0] if line else None

    def waiting(self, product_id: str) -> Iterator[Place]:
        """All who wait for the product, in their order."""
        return iter([place for place in self._lines[product_id] if self._waits(place)])

    def _line_up(self) -> None:
        self._lines: dict[str, deque[Place]] = defaultdict(deque)
        places = (self._loaded | self._released).values()
        for place in sorted(places, key=lambda place: place.ticket):
            if place.waiting:
                self._lines[place.product_id].append(place)

    def _waits(self, place: Place) -> bool:
        return self[place.product_id, place.order_id].waiting
