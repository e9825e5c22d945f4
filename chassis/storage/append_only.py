"""Tables whose rows are inserted and never changed: triggers of the database refuse the rest.

A row is deleted after the time in its own column `kept_until`, by the clock of the database. So
what is to be kept can't be shortened later, neither by a setting nor by a statement.
"""

from typing import Any

from sqlalchemy import Connection, Table, event

_SQLITE = (
    "BEFORE UPDATE ON {table} BEGIN SELECT RAISE(ABORT, '{reason}'); END",
    """BEFORE DELETE ON {table} WHEN OLD.kept_until >= CURRENT_TIMESTAMP
    BEGIN SELECT RAISE(ABORT, '{reason}'); END""",
    # REPLACE deletes a row of the same key, and no trigger of deletions runs for it.
    """BEFORE INSERT ON {table} WHEN EXISTS (SELECT 1 FROM {table} WHERE id = NEW.id)
    BEGIN SELECT RAISE(ABORT, '{reason}'); END""",
)
_POSTGRESQL = (
    "BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION {table}_append_only()",
    """BEFORE DELETE ON {table} FOR EACH ROW WHEN (OLD.kept_until >= CURRENT_TIMESTAMP)
    EXECUTE FUNCTION {table}_append_only()""",
    "BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION {table}_append_only()",
)
_FUNCTION = (
    "CREATE OR REPLACE FUNCTION {table}_append_only() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION '{reason}'; END $$"
)


def make_append_only(table: Table) -> None:
    """Create the triggers with the table. It has the columns `id` and `kept_until`."""
    event.listen(table, "after_create", _create_triggers)


def _create_triggers(table: Table, connection: Connection, **_: Any) -> None:
    names = {"table": table.name, "reason": f"{table.name} is append-only"}
    is_sqlite = connection.dialect.name == "sqlite"
    if not is_sqlite:
        connection.exec_driver_sql(_FUNCTION.format(**names))
    for number, trigger in enumerate(_SQLITE if is_sqlite else _POSTGRESQL, start=1):
        body = trigger.format(**names)
        connection.exec_driver_sql(f"CREATE TRIGGER {table.name}_append_only_{number} {body}")
