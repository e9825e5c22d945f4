"""Whose database it is, the version of its schema, and the upgrades of older versions.

SQLite keeps both in the file's header, as `application_id` and `user_version`. PostgreSQL keeps
them in the table `schema_version`. A database from before there were versions has neither: it is
recognized by its tables, and is of version 1.

`Database.create` creates missing tables with their indexes by itself. An upgrade changes what is
there already, and adds indexes to it. To add one, put it at the end of the service's `UPGRADES`,
with a version above that of every upgrade of the project. Nothing is renamed or dropped that the
version before still uses: instances of both run side by side for a while (decision 25).
"""

import re
import zlib
from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import Column, Connection, Inspector, MetaData, Table, inspect
from sqlalchemy.schema import CreateColumn

from saga.errors import ConfigurationError

NEW = 0
"""The version of an empty database."""

FIRST = 1
"""The version of every database that was created before there were versions."""


class Upgrade(msgspec.Struct, frozen=True):
    """A step to `version`. `apply` runs in the transaction that records the version.

    It is idempotent, and runs on SQLite and on PostgreSQL.
    """

    version: int
    apply: Callable[[Connection], None]


class SchemaHistory(msgspec.Struct, frozen=True):
    """A service's schema: its upgrades, the newest last, and a table by which to recognize it."""

    service: str
    saga_rows: Table
    upgrades: tuple[Upgrade, ...] = ()

    @property
    def version(self) -> int:
        """The version that this code writes."""
        return self.upgrades[-1].version if self.upgrades else FIRST

    @property
    def application_id(self) -> int:
        """The number of the service's SQLite files: positive, and another for each name."""
        return zlib.crc32(self.service.encode()) & 0x7FFF_FFFF | 1

    def find_version(self, connection: Connection) -> int:
        """The database's version. Raises ConfigurationError when it is not this service's."""
        owner, version = self._stamp(connection)
        if owner == self.service:
            return max(version, FIRST)
        if owner is not None:
            raise self._foreign(owner)
        inspector = inspect(connection)
        names = inspector.get_table_names()
        if self.saga_rows.name in names and self._has_saga_rows(inspector):
            return FIRST
        # On PostgreSQL an extension, for example, may have tables of its own beside ours.
        if "outbox" in names or (names and connection.dialect.name == "sqlite"):
            raise self._foreign(f"tables {', '.join(names[:5])}")
        return NEW

    def upgrade(self, connection: Connection, found: int) -> None:
        """Run the upgrades above version `found`, and record what the database is then."""
        for step in self.upgrades:
            if found != NEW and step.version > found:
                step.apply(connection)
        self._write_stamp(connection, max(found, self.version))

    def _stamp(self, connection: Connection) -> tuple[str | None, int]:
        """The recorded owner, None where there is none, and version."""
        if connection.dialect.name == "sqlite":
            number = connection.exec_driver_sql("PRAGMA application_id").scalar_one()
            version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
            names = {0: None, self.application_id: self.service}
            return names.get(number, f"application id {number}"), version
        if not inspect(connection).has_table("schema_version"):
            return None, NEW
        row = connection.exec_driver_sql("SELECT service, version FROM schema_version").one()
        return row.service, row.version

    def _write_stamp(self, connection: Connection, version: int) -> None:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql(f"PRAGMA application_id = {self.application_id}")
            connection.exec_driver_sql(f"PRAGMA user_version = {version}")
            return
        connection.exec_driver_sql(
            "CREATE TABLE IF NOT EXISTS schema_version"
            " (service VARCHAR(64) PRIMARY KEY, version INTEGER NOT NULL)"
        )
        connection.exec_driver_sql(
            "INSERT INTO schema_version VALUES (%s, %s)"
            " ON CONFLICT (service) DO UPDATE SET version = excluded.version",
            (self.service, version),
        )

    def _has_saga_rows(self, inspector: Inspector) -> bool:
        """Another service may have a table of the same name, with columns unknown here."""
        there = {column["name"] for column in inspector.get_columns(self.saga_rows.name)}
        return there <= {column.name for column in self.saga_rows.columns}

    def _foreign(self, what: str) -> ConfigurationError:
        return ConfigurationError(
            f"the database is not of the {self.service} service ({what}): "
            f"look at {self.service.upper()}_DATABASE_URL"
        )


def rewrite_stamp(connection: Connection) -> None:
    """Write the version that is there once more: it fails while nothing can be written."""
    if connection.dialect.name == "sqlite":
        version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        connection.exec_driver_sql(f"PRAGMA user_version = {version}")
    else:
        connection.exec_driver_sql("UPDATE schema_version SET version = version")


def check_columns(connection: Connection, schema: MetaData, *, is_newer: bool = False) -> None:
    """Raises ConfigurationError where this code can't work on the tables that are there.

    A newer database may have columns that this code does not know, as long as rows can be inserted
    without them.
    """
    inspector = inspect(connection)
    for table in schema.sorted_tables:
        columns = {column["name"]: column for column in inspector.get_columns(table.name)}
        known = {column.name for column in table.columns}
        if missing := sorted(known - set(columns)):
            raise ConfigurationError(
                f"the database is of another version: its table {table.name} has no "
                f"{', '.join(missing)}. Run the version that made it, or start with an empty "
                "database (of the local stack: make reset)"
            )
        needed = sorted(
            name
            for name in set(columns) - known
            if not columns[name]["nullable"] and columns[name]["default"] is None
        )
        if is_newer and needed:
            raise ConfigurationError(
                f"the database is of a newer version: its table {table.name} needs "
                f"{', '.join(needed)}. Run the version that made it"
            )


def add_column(connection: Connection, column: Column[Any]) -> None:
    """Add a column as its table declares it, if it is missing. Its default is that of old rows."""
    table = column.table.name
    if column.name in {each["name"] for each in inspect(connection).get_columns(table)}:
        return
    definition = CreateColumn(column).compile(dialect=connection.dialect)
    connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN {definition}")


def drop_check(connection: Connection, table: str, name: str) -> None:
    """Drop the check of this name, if it is there."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}")
        return
    check = rf",\s*CONSTRAINT {name} CHECK \((?:[^()]|\([^()]*\))*\)"
    _redefine(connection, table, lambda definition: re.sub(check, "", definition))


def allow_negative(connection: Connection, table: str, column: str) -> None:
    """Drop the check that a column is not below zero, if it is there."""
    if connection.dialect.name == "postgresql":
        constraint = f"{table}_{column}_check"  # PostgreSQL's own name for a column's check
        connection.exec_driver_sql(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {constraint}")
        return
    check = f" CHECK ({column} >= 0)"
    _redefine(connection, table, lambda definition: definition.replace(check, ""))


def _redefine(connection: Connection, table: str, change: Callable[[str], str]) -> None:
    """Change the definition of a table of SQLite, if it is not changed yet."""
    query = "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?"
    definition = connection.exec_driver_sql(query, (table,)).scalar_one()
    changed = change(definition)
    if changed != definition:
        _rebuild(connection, table, changed)


def _rebuild(connection: Connection, table: str, definition: str) -> None:
    """Give a table of SQLite another definition with the same columns.

    SQLite can't alter constraints. These are its steps for that (sqlite.org/lang_altertable.html,
    "Making Other Kinds Of Table Schema Changes"), without those for foreign keys, triggers and
    views, of which there are none.
    """
    query = "SELECT sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = ? AND sql NOT NULL"
    indexes = connection.exec_driver_sql(query, (table,)).scalars().all()
    new = re.sub(rf'^CREATE TABLE "?{table}"?', f"CREATE TABLE new_{table}", definition)
    for statement in (
        new,
        f"INSERT INTO new_{table} SELECT * FROM {table}",  # noqa: S608 - names from this code
        f"DROP TABLE {table}",
        f"ALTER TABLE new_{table} RENAME TO {table}",
        *indexes,
    ):
        connection.exec_driver_sql(statement)
