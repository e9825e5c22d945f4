"""PostgreSQL: its writing connection."""

from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, text

SCHEMA_LOCK = 0x5A6A
"""Key of the advisory lock with which instances create tables one after another."""


def writing_engine(url: URL) -> Engine:
    engine = create_engine(
        url,
        pool_size=1,
        max_overflow=0,
        paramstyle="format",
    )
    event.listen(engine, "connect", _prepare_writer)
    return engine


def lock_schema(connection: Connection) -> None:
    """Keep other instances from creating tables until the transaction ends."""
    connection.execute(text(f"SELECT pg_advisory_xact_lock({SCHEMA_LOCK})"))


def _prepare_writer(connection: Any, _: object) -> None:
    # A batch finds its rows by index. PostgreSQL assumes that a new table is empty, and keeps a
    # plan that reads all of it until it next counts the rows.
    connection.execute("SET enable_seqscan = off")
    connection.commit()
