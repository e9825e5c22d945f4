"""What the commands of the user service work on."""

from collections.abc import Iterator
from datetime import datetime

import msgspec

from saga.unit_of_work import Erased, Rows, UnitOfWork
from user.addresses import SavedAddress
from user.domain import Session, SigningKey, User, UserState, erased_user


class Purge(msgspec.Struct, frozen=True):
    """A call to the broker: remove what it holds of an erased user."""

    user_id: str


class UserUnitOfWork(UnitOfWork):
    """The rows of a batch. `by_email` has the users of the addresses that are being registered."""

    def __init__(
        self,
        now: datetime,
        users: Rows[str, User],
        by_email: Rows[str, User],
        sessions: Rows[str, Session],
        keys: Rows[str, SigningKey],
        addresses: Rows[str, SavedAddress] | None = None,
    ) -> None:
        self.addresses = addresses or Rows()
        super().__init__(now, users, by_email, sessions, keys, self.addresses)
        self.users = users
        self.by_email = by_email
        self.sessions = sessions
        self.keys = keys

    def put(self, user: User) -> None:
        """Put a user's row."""
        self.users[user.user_id] = user
        self.by_email[user.email] = user

    def sessions_of(self, user_id: str) -> Iterator[Session]:
        """The user's sessions that were loaded, as they are without the current message."""
        return (each for each in list(self.sessions.released) if each.user_id == user_id)

    def active(self, user_id: str) -> User | None:
        """The user, unless there is none or it is erased."""
        user = self.users.get(user_id)
        return user if user is not None and user.is_active else None

    def book_of(self, user_id: str) -> list[SavedAddress]:
        """The user's addresses."""
        return [
            each
            for each in self.addresses.current
            if each.user_id == user_id and not each.is_deleted
        ]

    def address_of(self, user_id: str, address_id: str) -> SavedAddress | None:
        return next((each for each in self.book_of(user_id) if each.address_id == address_id), None)

    def erase(self, user_id: str) -> None:
        """Erase all but the id of a user. Idempotent: a further step of the erasure stays."""
        known = self.users.get(user_id)
        if known is None or known.is_active:
            created_at = known.created_at if known else self.now
            self.put(erased_user(user_id, created_at, self.now))
        self.erased.add(Erased(user_id))

    def purge(self, user: User) -> None:
        """Ask for a purge of the broker after the commit."""
        if user.state is not UserState.PURGING:
            self.put(user.change(self.now, state=UserState.PURGING))
        self.external_calls.add(Purge(user.user_id))
