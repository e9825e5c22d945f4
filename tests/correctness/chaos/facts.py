"""What came by HTTP and is in no event: an operator books it again in a restored database."""

from collections.abc import Iterator
from math import inf
from time import monotonic

import msgspec

from saga.ids import derived
from tests.kit.client import Json


class Fact(msgspec.Struct, kw_only=True):
    """A request of a client. `booking` is the body with which an operator books it again.

    `answered_at` is monotonic; until then it may have been executed or not.
    """

    service: str
    key: str
    booking: Json
    answered_at: float = inf


class Facts:
    """All that clients have sent, and until when it was answered."""

    def __init__(self) -> None:
        self._all: list[Fact] = []
        self._top_ups: dict[str, Json] = {}

    def stock(self, key: str, product_id: str, delta: int) -> Fact:
        booking = {"productId": product_id, "delta": delta, "reason": "delivery"}
        return self._add(Fact(service="product", key=key, booking=booking))

    def coupon(self, issued_coupon_id: str, booking: Json) -> None:
        """One that was issued, by the answer."""
        fact = Fact(service="coupon", key=issued_coupon_id, booking=booking)
        self._add(fact).answered_at = monotonic()

    def top_up(self, key: str, customer_id: str, amount: int) -> None:
        """The gateway's key of a charge follows from the client's."""
        top_up_id = derived(customer_id, f"charge/{customer_id}/{key}")
        self._top_ups[top_up_id] = {"customerId": customer_id, "amount": amount}

    def since(self, service: str, moment: float) -> Iterator[Fact]:
        """What a backup that was begun at this moment may lack."""
        return (each for each in self._all if each.service == service and each.answered_at > moment)

    def top_up_of(self, gateway_key: str) -> Fact | None:
        """The charge that the gateway has under this key, if it is a client's."""
        known = self._top_ups.get(gateway_key)
        booking = (known or {}) | {"topUpId": gateway_key}
        return Fact(service="payment", key=gateway_key, booking=booking) if known else None

    def _add(self, fact: Fact) -> Fact:
        self._all.append(fact)
        return fact
