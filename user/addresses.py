"""A user's address book. Pure, as `user/domain.py` is.

Exactly one address is the default while there is any: the first one, until another one is chosen;
when it is deleted, the oldest one that is left.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec

from events.contract import Address, AddressChanged

MAX_ADDRESSES = 20


class SavedAddress(msgspec.Struct, frozen=True, kw_only=True):
    """An address. `version` counts its changes. `is_deleted`: its row is removed with the batch."""

    address_id: str
    user_id: str
    version: int
    label: str
    street: str
    postal_code: str
    city: str
    is_default: bool
    is_deleted: bool = False
    created_at: datetime
    updated_at: datetime

    def change(self, now: datetime, **changes: object) -> "SavedAddress":
        version = self.version + 1
        return msgspec.structs.replace(self, version=version, updated_at=now, **changes)

    @property
    def changed(self) -> AddressChanged:
        """The event of this version."""
        if self.is_deleted:
            return AddressChanged(
                user_id=self.user_id, address_id=self.address_id, version=self.version
            )
        return AddressChanged(
            user_id=self.user_id,
            address_id=self.address_id,
            version=self.version,
            label=self.label,
            address=Address(street=self.street, postal_code=self.postal_code, city=self.city),
            is_default=self.is_default,
        )


def with_one_default(
    book: Sequence[SavedAddress], chosen: str | None, now: datetime
) -> Iterator[SavedAddress]:
    """The addresses of a book that change so that one is the default: `chosen`, if it is there.

    Without one that is chosen, the default stays, or becomes the oldest one.
    """
    remaining = sorted(
        (each for each in book if not each.is_deleted), key=lambda each: each.created_at
    )
    ids = [each.address_id for each in remaining]
    current = next((each.address_id for each in remaining if each.is_default), None)
    default = chosen if chosen in ids else current or next(iter(ids), None)
    for each in remaining:
        if each.is_default != (each.address_id == default):
            yield each.change(now, is_default=not each.is_default)
