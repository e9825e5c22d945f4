"""Addresses that orders are shipped to. Pure, as `order/domain.py` is.

The user service owns the address book and publishes it as AddressChanged. Here is a copy of it, and
a snapshot for each order with an address. All of it is erased with its person, who is remembered by
id alone: an address that comes later is not stored.
"""

from datetime import datetime
from typing import Self

import msgspec

from events.contract import Address


class Recipient(msgspec.Struct, frozen=True, kw_only=True):
    """A customer of whom an address is, or was, stored.

    Its row is locked by everything that stores one, so that none is stored beside an erasure.
    """

    customer_id: str
    created_at: datetime
    erased_at: datetime | None = None


class KnownAddress(msgspec.Struct, frozen=True, kw_only=True):
    """A copy of an address in the user's address book; without `street` it is deleted."""

    address_id: str
    customer_id: str
    version: int
    street: str | None
    postal_code: str | None
    city: str | None

    @property
    def address(self) -> Address | None:
        if self.street is None or self.postal_code is None or self.city is None:
            return None
        return Address(street=self.street, postal_code=self.postal_code, city=self.city)


class ShippingAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Where an order is shipped to: a snapshot, written with the order."""

    order_id: str
    customer_id: str
    street: str
    postal_code: str
    city: str

    @classmethod
    def of(cls, order_id: str, customer_id: str, address: Address) -> Self:
        return cls(
            order_id=order_id,
            customer_id=customer_id,
            street=address.street,
            postal_code=address.postal_code,
            city=address.city,
        )
