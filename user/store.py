"""The user service's rows: loading those of a batch, saving what changed, reading."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.storage.tables import in_states
from events.contract import AddressChanged
from saga.unit_of_work import Rows, values_of
from user import tables
from user.addresses import SavedAddress
from user.commands import (
    AddAddress,
    AddKey,
    ChangeAddress,
    ChangePassword,
    DeleteAddress,
    PurgeAgain,
    RegisterUser,
)
from user.domain import SETTLE, UNSETTLED, Session, SigningKey, User, UserState
from user.settings import Settings
from user.unit_of_work import UserUnitOfWork

MAX_PURGES = 100
"""Erasures that one look for them finds."""

_BOOK = AddAddress | ChangeAddress | DeleteAddress | AddressChanged
"""What needs all addresses of a user."""

_users = tables.users_table.c
_settled = (
    select(_users.user_id)
    .where(
        in_states(tables.users_table, UNSETTLED),
        _users.state == UserState.PURGING,
        _users.updated_at <= bindparam("before"),
    )
    .order_by(_users.updated_at)
    .limit(MAX_PURGES)
)


def load(connection: Connection, messages: Sequence[object], now: datetime) -> UserUnitOfWork:
    """The sessions and users that the messages name, and all keys where one may be added."""
    sessions = tables.sessions.load(connection, "session_id", values_of(messages, "session_id"))
    changing = [each for each in messages if isinstance(each, ChangePassword)]
    if changing:
        sessions |= tables.sessions.load(connection, "user_id", values_of(changing, "user_id"))
    user_ids = {*values_of(messages, "user_id"), *values_of(sessions.loaded, "user_id")}
    registering = [each for each in messages if isinstance(each, RegisterUser)]
    with_email = tables.users.load(connection, "email", values_of(registering, "email"))
    users = tables.users.load(connection, "user_id", sorted(user_ids))
    # After the users: their rows are locked, so that no other instance changes their books.
    books = [each for each in messages if isinstance(each, _BOOK)]
    return UserUnitOfWork(
        now,
        users,
        Rows({user.email: user for user in with_email.loaded}),
        sessions,
        _load_keys(connection, messages),
        tables.addresses.load(connection, "user_id", values_of(books, "user_id")),
    )


def save(connection: Connection, uow: UserUnitOfWork) -> None:
    tables.users.save(connection, uow.users)
    tables.sessions.save(connection, uow.sessions)
    tables.keys.save(connection, uow.keys)
    tables.addresses.save(connection, uow.addresses)
    addresses = tables.addresses_table
    if deleted := [each.address_id for each in uow.addresses.current if each.is_deleted]:
        connection.execute(delete(addresses).where(addresses.c.address_id.in_(deleted)))
    if erased := {each.key for each in uow.erased}:
        for table in (addresses, tables.sessions_table):
            connection.execute(delete(table).where(table.c.user_id.in_(erased)))


def _load_keys(connection: Connection, messages: Sequence[object]) -> Rows[str, SigningKey]:
    if not any(isinstance(each, AddKey) for each in messages):
        return Rows()
    rows = map(tables.keys.row, connection.execute(select(*tables.keys.columns)))
    return Rows({key.key_id: key for key in rows})


# ---------------------------------------------------------------- reading


async def find_user(connection: AsyncConnection, user_id: str) -> User | None:
    return await tables.users.find(connection, "user_id", user_id)


async def find_by_email(connection: AsyncConnection, email: str) -> User | None:
    """`email` in its normal form."""
    return await tables.users.find(connection, "email", email)


async def find_session(connection: AsyncConnection, session_id: str) -> Session | None:
    return await tables.sessions.find(connection, "session_id", session_id)


async def newest_key(connection: AsyncConnection) -> SigningKey | None:
    """The key that was added last; it may not sign yet."""
    query = select(*tables.keys.columns).order_by(tables.keys_table.c.created_at.desc()).limit(1)
    row = (await connection.execute(query)).one_or_none()
    return tables.keys.row(row) if row else None


async def signing_key(connection: AsyncConnection, now: datetime) -> SigningKey | None:
    """The newest key that signs now."""
    columns = tables.keys_table.c
    query = (
        select(*tables.keys.columns)
        .where(columns.signs_from <= now, columns.signs_until > now)
        .order_by(columns.signs_from.desc())
        .limit(1)
    )
    row = (await connection.execute(query)).one_or_none()
    return tables.keys.row(row) if row else None


async def find_book(connection: AsyncConnection, user_id: str) -> list[SavedAddress]:
    """A user's addresses, the oldest first."""
    columns = tables.addresses_table.c
    query = (
        select(*tables.addresses.columns)
        .where(columns.user_id == user_id)
        .order_by(columns.created_at, columns.address_id)
    )
    return [tables.addresses.row(row) for row in await connection.execute(query)]


async def find_sessions(connection: AsyncConnection, user_id: str) -> list[Session]:
    columns = tables.sessions_table.c
    query = (
        select(*tables.sessions.columns)
        .where(columns.user_id == user_id)
        .order_by(columns.created_at)
    )
    return [tables.sessions.row(row) for row in await connection.execute(query)]


async def find_settled_purges(
    connection: AsyncConnection, now: datetime, _: Settings
) -> list[PurgeAgain]:
    """The erasures whose first purge is long enough ago, or was lost."""
    found = await connection.scalars(_settled, {"before": now - SETTLE})
    return [PurgeAgain(user_id=user_id) for user_id in found]
