"""The user service's tables, and how their rows are loaded and written."""

from sqlalchemy import Boolean, Column, Connection, Integer, MetaData, String, Table, Text

from chassis.storage.mapping import Mapped
from chassis.storage.migrations import Upgrade, drop_check
from chassis.storage.tables import Time, Uuid, index_unsettled, one_of
from saga.personal import personal
from user.addresses import SavedAddress
from user.domain import UNSETTLED, Session, SessionState, SigningKey, User, UserState

schema = MetaData()

users_table = Table(
    "users",
    schema,
    Column("user_id", Uuid, primary_key=True),
    Column(
        *("email", String(254)),
        nullable=False,
        unique=True,
        info=personal("To sign in with; of an erased user the id."),
    ),
    Column("name", String(200), nullable=False, info=personal("To address the user by.")),
    Column("password_hash", Text, nullable=False, info=personal("To check the password.")),
    Column("roles", String(100), nullable=False),
    Column("state", one_of(UserState, is_checked=False), nullable=False),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
)
index_unsettled(users_table, UNSETTLED)

sessions_table = Table(
    "sessions",
    schema,
    Column("session_id", Uuid, primary_key=True),
    Column("user_id", Uuid, nullable=False, index=True),
    Column("state", one_of(SessionState), nullable=False),
    Column("token_hash", String(64), nullable=False, info=personal("To know a session again.")),
    Column("previous_hash", String(64), info=personal("To notice a copied token.")),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
)

addresses_table = Table(
    "addresses",
    schema,
    Column("address_id", Uuid, primary_key=True),
    Column("user_id", Uuid, nullable=False, index=True),
    Column("version", Integer, nullable=False),
    Column("label", String(200), nullable=False, info=personal("The user's name for it.")),
    Column("street", String(200), nullable=False, info=personal("To ship orders to.")),
    Column("postal_code", String(200), nullable=False, info=personal("To ship orders to.")),
    Column("city", String(200), nullable=False, info=personal("To ship orders to.")),
    Column("is_default", Boolean, nullable=False),
    Column("is_deleted", Boolean, nullable=False),
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
addresses: Mapped[str, SavedAddress] = Mapped(addresses_table, SavedAddress, "address_id")


def _take_erased(connection: Connection) -> None:
    drop_check(connection, "users", "userstate")
    for index in users_table.indexes:
        index.create(connection, checkfirst=True)


UPGRADES = (Upgrade(11, _take_erased),)
