"""The wrong passwords of each account and of each client's address, in this instance."""

from datetime import datetime

from chassis.components import Component
from user.tries import FREE_FOR_ACCOUNT, FREE_FOR_ADDRESS, Tries
from user.unit_of_work import UserUnitOfWork


class SignIns(Component[UserUnitOfWork]):
    def __init__(self) -> None:
        self._accounts = Tries(FREE_FOR_ACCOUNT)
        self._addresses = Tries(FREE_FOR_ADDRESS)

    def check(self, email: str, address: str, now: datetime) -> None:
        """Raises TooManyRequests."""
        self._accounts.check(email, now)
        self._addresses.check(address, now)

    def failed(self, email: str, address: str, now: datetime) -> None:
        self._accounts.failed(email, now)
        self._addresses.failed(address, now)

    def succeeded(self, email: str) -> None:
        self._accounts.succeeded(email)
