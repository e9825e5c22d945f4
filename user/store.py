"""The user service's rows: loading those of a batch, saving what changed, reading."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, select
from sqlalchemy.ext.asyncio import AsyncConnection

from saga.unit_of_work import Rows, values_of
from user import tables
from user.commands import AddKey, ChangePassword, RegisterUser
from user.domain import Session, SigningKey, User
from user.unit_of_work import UserUnitOfWork


def load(connection: Connection, messages: Sequence[object], now: datetime) -> UserUnitOfWork:
    """The sessions and users that the messages name, and all keys where one may be added."""
    sessions = tables.sessions.load(connection, "session_id", values_of(messages, "session_id"))
    changing = [each for each in messages if isinstance(each, ChangePassword)]
    if changing:
        sessions |= tables.sessions.load(connection, "user_id", values_of(changing, "user_id"))
    user_ids = {*values_of(messages, "user_id"), *values_of(sessions.loaded, "user_id")}
    registering = [each for each in messages if isinstance(each, RegisterUser)]
    with_email = tables.users.load(connection, "email", values_of(registering, "email"))
    return UserUnitOfWork(
        now,
        tables.users.load(connection, "user_id", sorted(user_ids)),
        Rows({user.email: user for user in with_email.loaded}),
        sessions,
        _load_keys(connection, messages),
    )


def save(connection: Connection, uow: UserUnitOfWork) -> None:
    tables.users.save(connection, uow.users)
    tables.sessions.save(connection, uow.sessions)
    tables.keys.save(connection, uow.keys)


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
