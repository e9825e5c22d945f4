"""The user service's tables, and how their rows are loaded and written."""

from sqlalchemy import Column, MetaData, String, Table, Text

from chassis.storage.mapping import Mapped
from chassis.storage.tables import Time, Uuid, one_of
from user.domain import Session, SessionState, SigningKey, User, UserState

schema = MetaData()

users_table = Table(
    "users",
    schema,
    Column("user_id", Uuid, primary_key=True),
    Column("email", String(254), nullable=False, unique=True),
    Column("name", String(200), nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("roles", String(100), nullable=False),
    Column("state", one_of(UserState), nullable=False),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
)

sessions_table = Table(
    "sessions",
    schema,
    Column("session_id", Uuid, primary_key=True),
    Column("user_id", Uuid, nullable=False, index=True),
    Column("state", one_of(SessionState), nullable=False),
    Column("token_hash", String(64), nullable=False),
    Column("previous_hash", String(64)),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
)

keys_table = Table(
    "signing_keys",
    schema,
    Column("key_id", Uuid, primary_key=True),
    Column("private_key", String(64), nullable=False),
    Column("public_key", String(64), nullable=False),
    Column("created_at", Time, nullable=False),
    Column("signs_from", Time, nullable=False),
    Column("signs_until", Time, nullable=False),
)

users: Mapped[str, User] = Mapped(users_table, User, "user_id")
sessions: Mapped[str, Session] = Mapped(sessions_table, Session, "session_id")
keys: Mapped[str, SigningKey] = Mapped(keys_table, SigningKey, "key_id")
