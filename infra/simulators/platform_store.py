"""What the simulated data platform has accepted, in a SQLite file.

It survives a kill -9. It need not survive a power cut, so no commit waits for the disk, which the
services need more.
"""

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

_SCHEMA = """
CREATE TABLE IF NOT EXISTS accepted (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, body TEXT NOT NULL,
    deliveries INTEGER NOT NULL, time REAL NOT NULL
);
"""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the statement. `body` is the JSON that was sent.

    `deliveries` counts how often it was sent, `time` is the first time, in Unix seconds.
    """

    sequence: int
    key: str
    body: msgspec.Raw
    deliveries: int
    time: float


class PlatformStore:
    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(file)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=OFF")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        self._db.close()

    def accept(self, key: str, body: bytes) -> bool:
        """Accept a body, once for each key. False when the key was used for another body."""
        with self._db:
            done = self._db.execute(
                "INSERT INTO accepted (key, body, deliveries, time) VALUES (?, ?, 1, ?)"
                " ON CONFLICT (key) DO UPDATE SET deliveries = deliveries + 1"
                " WHERE body = excluded.body",
                (key, body.decode(), time.time()),
            )
        return done.rowcount == 1

    def statement(self, after: int, limit: int) -> Sequence[Line]:
        query = "SELECT * FROM accepted WHERE sequence > ? ORDER BY sequence LIMIT ?"
        rows: list[Any] = self._db.execute(query, (after, limit)).fetchall()
        return [
            Line(
                sequence=sequence,
                key=key,
                body=msgspec.Raw(body.encode()),
                deliveries=deliveries,
                time=came_at,
            )
            for sequence, key, body, deliveries, came_at in rows
        ]
