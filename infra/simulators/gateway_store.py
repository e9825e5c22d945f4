"""The simulated gateway's charges, refunds and statement, in a SQLite file.

Each answer is committed before it is sent, so a kill -9 loses nothing.
"""

import sqlite3
import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import msgspec

_SCHEMA = """
CREATE TABLE IF NOT EXISTS charges (
    key TEXT PRIMARY KEY, reference TEXT NOT NULL, customer_id TEXT NOT NULL,
    amount INTEGER NOT NULL, status TEXT NOT NULL, refunded_amount INTEGER NOT NULL DEFAULT 0,
    lands_at REAL, fence_holds INTEGER NOT NULL DEFAULT 1
);
CREATE INDEX IF NOT EXISTS charges_in_flight ON charges (lands_at) WHERE lands_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS refunds (
    key TEXT PRIMARY KEY, charge_key TEXT NOT NULL, amount INTEGER NOT NULL, status TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS statement (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, reference TEXT NOT NULL,
    kind TEXT NOT NULL, amount INTEGER NOT NULL, time REAL NOT NULL
);
"""


class Status(StrEnum):
    """IN_FLIGHT: unknown to inquiries, until it lands."""

    IN_FLIGHT = "IN_FLIGHT"
    CAPTURED = "CAPTURED"
    DECLINED = "DECLINED"
    VOIDED = "VOIDED"


class Charge(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A charge, as a client gets it. Amounts in KRW. `message`: why it was declined."""

    key: str
    status: Status
    amount: int
    refunded_amount: int
    transaction_id: str
    message: str | None


def _charge(key: str, status: Status, amount: int, refunded_amount: int) -> Charge:
    return Charge(
        key=key,
        status=status,
        amount=amount,
        refunded_amount=refunded_amount,
        transaction_id=f"pg-{uuid5(NAMESPACE_URL, key)}",
        message="the bank declines the card" if status is Status.DECLINED else None,
    )


class Posting(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A line of the statement: money that was captured or given back. `time` in Unix seconds."""

    sequence: int
    key: str
    reference: str
    kind: str
    amount: int
    time: float
    customer_id: str


class GatewayStore:
    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(file)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        self._db.close()

    def find(self, key: str) -> Charge | None:
        """A charge, also one that is still in flight."""
        query = "SELECT key, status, amount, refunded_amount FROM charges WHERE key = ?"
        row = self._db.execute(query, (key,)).fetchone()
        if row is None:
            return None
        return _charge(row[0], Status(row[1]), row[2], row[3])

    def customer_of(self, key: str) -> str | None:
        row = self._db.execute("SELECT customer_id FROM charges WHERE key = ?", (key,)).fetchone()
        return row and str(row[0])

    def charge(
        self,
        key: str,
        reference: str,
        customer_id: str,
        amount: int,
        status: Status,
        *,
        lands_after_seconds: float = 0,
        fence_holds: bool = True,
    ) -> Charge:
        """Add a charge; one that is in flight lands after so many seconds."""
        is_in_flight = status is Status.IN_FLIGHT
        lands_at = time.time() + lands_after_seconds if is_in_flight else None
        with self._db:
            self._db.execute(
                "INSERT INTO charges (key, reference, customer_id, amount, status, lands_at,"
                " fence_holds) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (key, reference, customer_id, amount, status, lands_at, fence_holds),
            )
            if status is Status.CAPTURED:
                self._post(key, reference, "CAPTURE", amount)
        return _charge(key, status, amount, 0)

    def void(self, key: str) -> Charge:
        """Fence a key for good. A charge that is decided already stays as it is."""
        with self._db:
            self._db.execute(
                "INSERT INTO charges (key, reference, customer_id, amount, status)"
                " VALUES (?, '', '', 0, 'VOIDED') ON CONFLICT DO NOTHING",
                (key,),
            )
            self._db.execute(
                "UPDATE charges SET status = 'VOIDED',"
                " lands_at = CASE WHEN fence_holds THEN NULL ELSE lands_at END"
                " WHERE key = ? AND status = 'IN_FLIGHT'",
                (key,),
            )
        charge = self.find(key)
        assert charge is not None
        return charge

    def land(self) -> None:
        """Capture the charges in flight that are due now."""
        due = "SELECT key, reference, amount FROM charges WHERE lands_at <= ?"
        for key, reference, amount in self._db.execute(due, (time.time(),)).fetchall():
            with self._db:
                self._db.execute(
                    "UPDATE charges SET status = 'CAPTURED', lands_at = NULL WHERE key = ?", (key,)
                )
                self._post(key, reference, "CAPTURE", amount)

    def known_refund(self, refund_key: str) -> tuple[str, int] | None:
        """The status and amount of a refund that was decided."""
        query = "SELECT status, amount FROM refunds WHERE key = ?"
        row: tuple[str, int] | None = self._db.execute(query, (refund_key,)).fetchone()
        return row

    def refund(self, refund_key: str, charge: Charge, amount: int, *, refused: bool) -> str:
        """Give money back, or refuse to. Returns REFUNDED or REFUSED."""
        left = charge.amount - charge.refunded_amount
        is_possible = charge.status is Status.CAPTURED and amount <= left and not refused
        status = "REFUNDED" if is_possible else "REFUSED"
        with self._db:
            self._db.execute(
                "INSERT INTO refunds VALUES (?, ?, ?, ?)", (refund_key, charge.key, amount, status)
            )
            if is_possible:
                self._db.execute(
                    "UPDATE charges SET refunded_amount = refunded_amount + ? WHERE key = ?",
                    (amount, charge.key),
                )
                self._post(charge.key, self._reference(charge.key), "REFUND", amount)
        return status

    def statement(self, after: int, limit: int) -> Sequence[Posting]:
        query = (
            "SELECT statement.*, customer_id FROM statement JOIN charges USING (key)"
            " WHERE sequence > ? ORDER BY sequence LIMIT ?"
        )
        fields = Posting.__struct_fields__
        rows: list[Any] = self._db.execute(query, (after, limit)).fetchall()
        return [Posting(**dict(zip(fields, row, strict=True))) for row in rows]

    def _reference(self, key: str) -> str:
        query = "SELECT reference FROM charges WHERE key = ?"
        return str(self._db.execute(query, (key,)).fetchone()[0])

    def _post(self, key: str, reference: str, kind: str, amount: int) -> None:
        self._db.execute(
            "INSERT INTO statement (key, reference, kind, amount, time) VALUES (?, ?, ?, ?, ?)",
            (key, reference, kind, amount, time.time()),
        )
