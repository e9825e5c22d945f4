"""The wrong passwords of each account and of each client's address, in this instance."""

from datetime import datetime
from ipaddress import IPv6Address, ip_address, ip_network

from chassis.components import Component
from user.tries import FREE_FOR_ACCOUNT, FREE_FOR_ADDRESS, Tries
from user.unit_of_work import UserUnitOfWork

IPV6_PREFIX_BITS = 64
"""What one customer of a network gets: each of its addresses would else have tries of its own."""


class SignIns(Component[UserUnitOfWork]):
    def __init__(self) -> None:
        self._accounts = Tries(FREE_FOR_ACCOUNT)
        self._addresses = Tries(FREE_FOR_ADDRESS)

    def check(self, email: str, address: str, now: datetime) -> None:
        """Before a password is hashed, and again afterwards: others may have failed meanwhile.

        Raises TooManyRequests.
        """
        self._accounts.check(email, now)
        self.check_address(address, now)

    def check_address(self, address: str, now: datetime) -> None:
        """Raises TooManyRequests."""
        self._addresses.check(_origin(address), now)

    def failed(self, email: str, address: str, now: datetime) -> None:
        self._accounts.failed(email, now)
        self.failed_from(address, now)

    def failed_from(self, address: str, now: datetime) -> None:
        """Something failed that concerns no account that the client may know of."""
        self._addresses.failed(_origin(address), now)

    def succeeded(self, email: str) -> None:
        self._accounts.succeeded(email)


def _origin(address: str) -> str:
    """The address, or its network where a client has many."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if not isinstance(found, IPv6Address):
        return address
    if found.ipv4_mapped:
        return str(found.ipv4_mapped)
    return str(ip_network((int(found), IPV6_PREFIX_BITS), strict=False))
