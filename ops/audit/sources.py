"""Where the audit reads: each service's database, in one transaction that can't write."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from infra.stack.config import SERVICES
from ops.audit.findings import CannotRead
from ops.deployment import Deployment
from saga.errors import ConfigurationError

Databases = Mapping[str, Connection]
"""A connection to each service's database, by service. Their snapshots are of nearly one moment."""


@contextmanager
def databases(shop: Deployment) -> Iterator[Databases]:
    """Connect to all. Raises CannotRead with the service's name, also later while reading."""
    with ExitStack() as opened:
        connections: dict[str, Connection] = {}
        # The data platform's sender first: it publishes nothing, so what it has from an order that
        # completes meanwhile would seem to have no cause.
        for service in reversed(SERVICES):
            try:
                engine = _engine(make_url(shop.database_url(service)))
                opened.callback(engine.dispose)
                connections[service] = opened.enter_context(engine.connect())
                _begin_snapshot(connections[service])
            except (SQLAlchemyError, ConfigurationError, OSError) as error:
                raise CannotRead(
                    f"The database of {service} can't be read: {_reason(error)}. "
                    f"Look at {service.upper()}_DATABASE_URL and at: make status"
                ) from error
        try:
            yield connections
        except SQLAlchemyError as error:
            raise CannotRead(
                f"A database could not be read to its end: {_reason(error)}. Try again; if that "
                "fails too, its tables are not those of this version: make reset makes new ones"
            ) from error


def _begin_snapshot(connection: Connection) -> None:
    connection.execute(text("SELECT COUNT(*) FROM outbox"))


def moment(value: Any) -> datetime:
    """A time column's value: from SQLite a text in UTC, from PostgreSQL a time with its zone."""
    time = datetime.fromisoformat(value) if isinstance(value, str) else value
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "sqlite":
        return _sqlite(url)
    if url.drivername.startswith("postgres"):  # postgres:// too
        return create_engine(
            url.set(drivername="postgresql+psycopg"),
            isolation_level="REPEATABLE READ",
            execution_options={"postgresql_readonly": True},
        )
    raise ConfigurationError(f"the audit does not know {url.get_backend_name()} databases")


def _sqlite(url: URL) -> Engine:
    path = Path(os.path.abspath(url.database or ""))  # noqa: PTH100 - as it is, links unresolved
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}")
    # Read-only from the first byte on: a reader that may write would tidy up the log on closing.
    read_only = URL.create("sqlite+pysqlite", database=path.as_uri())
    engine = create_engine(read_only.update_query_dict({"mode": "ro", "uri": "true"}))
    event.listen(engine, "connect", _begin_by_hand)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    return engine


def _begin_by_hand(connection: Any, _: object) -> None:
    connection.isolation_level = None  # else the driver begins no transaction for a SELECT


def _reason(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error)
