"""PostgreSQL: its connections."""

from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, text

from saga.errors import ConfigurationError

SCHEMA_LOCK = 0x5A6A
"""Key of the advisory lock with which instances create tables one after another."""


TIMEOUTS = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
}
"""libpq's, in seconds, the last one in ms. A server that vanishes with its machine closes no
connection: without these, a query waits for its answer for hours."""


def with_timeouts(url: URL) -> URL:
    """The URL with those of the time-outs that it does not set itself."""
    if not url.drivername.startswith("postgresql+psycopg"):
        return url
    return url.update_query_dict({**TIMEOUTS, **url.query})


def writing_engine(url: URL) -> Engine:
    engine = create_engine(
        url,
        pool_size=1,
        max_overflow=0,
        paramstyle="format",
    )
    event.listen(engine, "connect", _prepare_writer)
    # Before SQLAlchemy's own look at a new connection, which fails on an unknown encoding.
    event.listen(engine, "connect", _check_encoding, insert=True)
    return engine


def lock_schema(connection: Connection) -> None:
    """Keep other instances from creating tables until the transaction ends."""
    connection.execute(text(f"SELECT pg_advisory_xact_lock({SCHEMA_LOCK})"))


def _check_encoding(connection: Any, _: object) -> None:
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise ConfigurationError(
            f"the database {connection.info.dbname} has the encoding {encoding}: create it with "
            "ENCODING 'UTF8' TEMPLATE template0"
        )


def _prepare_writer(connection: Any, _: object) -> None:
    # A batch finds its rows by index. PostgreSQL assumes that a new table is empty, and keeps a
    # plan that reads all of it until it next counts the rows.
    connection.execute("SET enable_seqscan = off")
    connection.commit()
