"""What an audit finds, and a check in SQL on one database."""

import re
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import Connection, text


class CannotRead(Exception):
    """A source of the audit can't be read, so there is no result. Its text names what to do."""


class Discrepancy(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Something that does not add up. `event` is the one that is missing, where one is.

    `entity` is the id of what it is about beside the order: a wallet, a product, an event. `what`
    has the figures; `age`, which grows, stands apart.
    """

    check: str
    what: str
    order_id: str | None = None
    event: str | None = None
    entity: str | None = None
    age: str | None = None

    @property
    def name(self) -> str:
        """What it is acknowledged by: the check, and the ids of what it is about."""
        ids = (self.order_id, self.entity, self.event)
        return "/".join(_NO_WORD.sub("-", each).strip("-") for each in (self.check, *ids) if each)

    def __str__(self) -> str:
        order = f"order {self.order_id}: " if self.order_id else ""
        age = f", for {self.age}" if self.age else ""
        event = f" (missing: {self.event})" if self.event else ""
        return f"{self.check}: {order}{self.what}{age}{event}"


_NO_WORD = re.compile(r"[^A-Za-z0-9.]+")


class Result(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One check: how many things it looked at, and which of them are wrong."""

    check: str
    looked_at: int
    discrepancies: tuple[Discrepancy, ...]


class Unjudged(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An order, or an event about something else, that can't be judged yet, and why."""

    key: str
    why: str

    @classmethod
    def of(cls, key: str, reasons: Mapping[str, str]) -> "Unjudged":
        return cls(key=key, why=reasons.get(key, "it has just changed"))


class Acknowledgement(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A discrepancy that an operator understands. `found` are its texts, with their figures."""

    name: str
    found: tuple[str, ...]
    reason: str
    by: str
    at: str

    def covers(self, discrepancy: Discrepancy) -> bool:
        """Only with the figures that were acknowledged."""
        return self.name == discrepancy.name and discrepancy.what in self.found


class Verdict(StrEnum):
    CLEAN = "clean"
    WRONG = "wrong"
    NOT_JUDGED = "not everything judged"


class Report(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A whole audit. Of what is `unjudged`, only what single databases show was checked.

    `waiting` are orders that wait for the service in recovery mode that the audit was told of.
    `not_compared` names who gives no statement.
    """

    results: tuple[Result, ...]
    orders: int
    unjudged: tuple[Unjudged, ...] = ()
    waiting: tuple[str, ...] = ()
    not_compared: tuple[str, ...] = ()
    acknowledgements: tuple[Acknowledgement, ...] = ()

    @property
    def discrepancies(self) -> Iterator[Discrepancy]:
        """Without those that are acknowledged."""
        return (found for found in self._found if self.acknowledgement(found) is None)

    @property
    def acknowledged(self) -> list[tuple[Discrepancy, Acknowledgement]]:
        known = ((found, self.acknowledgement(found)) for found in self._found)
        return [(found, by) for found, by in known if by is not None]

    @property
    def verdict(self) -> Verdict:
        """Clean only where all was judged, and there was something to judge."""
        if any(self.discrepancies):
            return Verdict.WRONG
        if self.unjudged or not any(result.looked_at for result in self.results):
            return Verdict.NOT_JUDGED
        return Verdict.CLEAN

    def acknowledgement(self, found: Discrepancy) -> Acknowledgement | None:
        return next((each for each in self.acknowledgements if each.covers(found)), None)

    @property
    def _found(self) -> Iterator[Discrepancy]:
        return (found for result in self.results for found in result.discrepancies)


class SqlCheck(msgspec.Struct, frozen=True, kw_only=True):
    """`counted` counts the rows that are checked, `wrong` selects those that break the rule.

    `what` describes such a row by its columns; a column `order_id` names the order, and the other
    columns that hold ids name what it is about.
    """

    check: str
    counted: str
    wrong: str
    what: str

    def run(self, database: Connection) -> Result:
        looked_at = database.execute(text(self.counted)).scalar_one()
        rows = [dict(row) for row in database.execute(text(self.wrong)).mappings()]
        found = tuple(
            Discrepancy(
                check=self.check,
                what=self.what.format_map(row),
                order_id=row.get("order_id"),
                entity=_entity(row),
            )
            for row in rows
        )
        return Result(check=self.check, looked_at=looked_at, discrepancies=found)


def _entity(row: Mapping[str, Any]) -> str | None:
    ids = (str(row[column]) for column in _ID_COLUMNS if row.get(column) is not None)
    return " ".join(ids) or None


_ID_COLUMNS = (
    "id",
    "top_up_id",
    "issued_coupon_id",
    "coupon_id",
    "customer_id",
    "product_id",
    "day",
)


def result(check: str, looked_at: int, found: Iterable[Discrepancy]) -> Result:
    return Result(check=check, looked_at=looked_at, discrepancies=tuple(found))
