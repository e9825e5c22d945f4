"""What an audit finds, and a check in SQL on one database."""

from collections.abc import Iterable, Iterator

import msgspec
from sqlalchemy import Connection, text


class CannotRead(Exception):
    """A source of the audit can't be read, so there is no result. Its text names what to do."""


class Discrepancy(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Something that does not add up. `event` is the one that is missing, where one is."""

    check: str
    what: str
    order_id: str | None = None
    event: str | None = None

    def __str__(self) -> str:
        order = f"order {self.order_id}: " if self.order_id else ""
        event = f" (missing: {self.event})" if self.event else ""
        return f"{self.check}: {order}{self.what}{event}"


class Result(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One check: how many things it looked at, and which of them are wrong."""

    check: str
    looked_at: int
    discrepancies: tuple[Discrepancy, ...]


class Report(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A whole audit. Of the orders `under_way`, only what single databases show was checked."""

    results: tuple[Result, ...]
    orders: int
    under_way: int

    @property
    def discrepancies(self) -> Iterator[Discrepancy]:
        return (found for result in self.results for found in result.discrepancies)

    @property
    def clean(self) -> bool:
        return not any(self.discrepancies)


class SqlCheck(msgspec.Struct, frozen=True, kw_only=True):
    """`counted` counts the rows that are checked, `wrong` selects those that break the rule.

    `what` describes such a row by its columns; a column `order_id` names the order.
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
                check=self.check, what=self.what.format_map(row), order_id=row.get("order_id")
            )
            for row in rows
        )
        return Result(check=self.check, looked_at=looked_at, discrepancies=found)


def result(check: str, looked_at: int, found: Iterable[Discrepancy]) -> Result:
    return Result(check=check, looked_at=looked_at, discrepancies=tuple(found))
