"""What the commands of the user service work on."""

from collections.abc import Iterator
from datetime import datetime

from saga.unit_of_work import Rows, UnitOfWork
from user.domain import Session, SigningKey, User


class UserUnitOfWork(UnitOfWork):
    """The rows of a batch. `by_email` has the users of the addresses that are being registered."""

    def __init__(
        self,
        now: datetime,
        users: Rows[str, User],
        by_email: Rows[str, User],
        sessions: Rows[str, Session],
        keys: Rows[str, SigningKey],
    ) -> None:
        super().__init__(now, users, by_email, sessions, keys)
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
