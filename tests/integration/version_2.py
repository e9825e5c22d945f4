"""The dead letters of schema version 2, as that version created and stored them."""

from sqlalchemy import Connection

HANDLED = "3c4d5e6f-7081-92a3-b4c5-def678901234"
"""The id of the event that was handled by a redrive, and its key."""


def create_dead_letters(connection: Connection) -> None:
    """Create the table, with a letter that was not redriven and two that were."""
    is_sqlite = connection.dialect.name == "sqlite"
    kinds = (
        ("INTEGER", "DATETIME", "BLOB")
        if is_sqlite
        else ("BIGSERIAL", "TIMESTAMP WITH TIME ZONE", "BYTEA")
    )
    identity, time, blob = kinds
    connection.exec_driver_sql(
        f"""
        CREATE TABLE dead_letters (
            id {identity} NOT NULL,
            digest VARCHAR(64) NOT NULL,
            stream VARCHAR(32) NOT NULL,
            sequence BIGINT NOT NULL,
            subject TEXT NOT NULL,
            headers TEXT NOT NULL,
            body {blob} NOT NULL,
            reason VARCHAR(32) NOT NULL,
            error TEXT NOT NULL,
            created_at {time} NOT NULL,
            redriven_at {time},
            PRIMARY KEY (id),
            UNIQUE (digest)
        )
        """
    )
    connection.exec_driver_sql(insertion("open"))
    connection.exec_driver_sql(insertion("handled", "'2026-11-03'", HANDLED))
    connection.exec_driver_sql(insertion("failed", "'2026-11-03'", "another"))


def insertion(subject: str, redriven_at: str = "NULL", event_id: str = "") -> str:
    """The statement that stores a letter, by its subject."""
    headers = f'{{"ce-id":"{event_id}"}}' if event_id else "{}"
    return (
        "INSERT INTO dead_letters (digest, stream, sequence, subject, headers, body, reason,"  # noqa: S608 - values of this file
        f" error, created_at, redriven_at) VALUES ('{subject}', 'SAGA', 1, '{subject}',"
        f" '{headers}', 'x', 'RAISED', 'tripped', '2026-11-01', {redriven_at})"
    )
