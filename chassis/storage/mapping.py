"""Maps the rows of a table to structs whose fields have the names of its columns.

A batch loads and writes by compiled statements (`chassis/storage/statements.py`). The queries of
HTTP routes are built for each request.
"""

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any, Generic

from sqlalchemy import ColumnElement, Connection, Table, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.storage.statements import Statement, among, inserting, updating
from saga.unit_of_work import K, R, Rows


class Appended(Generic[R]):
    """A table whose rows are inserted and never changed.

    `derived` are columns for queries: written from properties of the row, and not read.
    """

    def __init__(self, table: Table, row_type: type[R], *, derived: Sequence[str] = ()) -> None:
        self.table = table
        self.row_type = row_type
        self.fields = row_type.__struct_fields__
        self.columns = [table.c[name] for name in self.fields]
        self._insert = inserting(table, [*self.fields, *derived])

    def row(self, values: Sequence[Any]) -> R:
        """The struct of a row that selected `columns`."""
        return self.row_type(**dict(zip(self.fields, values, strict=True)))

    async def find(self, connection: AsyncConnection, by: str, value: str) -> R | None:
        """The row whose column `by` has this value, of which there is at most one."""
        query = select(*self.columns).where(self.table.c[by] == value)
        row = (await connection.execute(query)).one_or_none()
        return self.row(row) if row else None

    async def page(
        self,
        connection: AsyncConnection,
        matching: ColumnElement[bool],
        *order: ColumnElement[Any],
        offset: int,
        size: int,
    ) -> tuple[list[R], int]:
        """One page of the matching rows in this order, and the number of all matching rows.

        The count comes first: a page that has another one behind it is then always full where rows
        are only added at the end, so a client that reads page by page misses none.
        """
        count = select(func.count()).select_from(self.table).where(matching)
        total = await connection.scalar(count) or 0
        query = select(*self.columns).where(matching).order_by(*order)
        rows = (await connection.execute(query.offset(offset).limit(size))).all()
        return [self.row(row) for row in rows], total

    def append(self, connection: Connection, rows: Iterable[R]) -> None:
        """Insert new rows."""
        self._insert.execute_many(connection, rows)


class Mapped(Appended[R], Generic[K, R]):
    """A table whose rows a batch loads by key, changes in memory and writes back."""

    def __init__(
        self, table: Table, row_type: type[R], *key: str, derived: Sequence[str] = ()
    ) -> None:
        super().__init__(table, row_type, derived=derived)
        self._key_of: Callable[[Any], Any] = attrgetter(*key)
        changing = [name for name in (*self.fields, *derived) if name not in key]
        self._update = updating(table, changing, key)
        self._key = key
        self._loading: dict[str, Statement] = {}

    def load(self, connection: Connection, by: str, values: Sequence[str]) -> Rows[K, R]:
        """The rows whose column `by` has one of the values, locked until the transaction ends.

        PostgreSQL locks them in the order of the key, so that two instances don't wait for each
        other. SQLite has one writer and needs no row locks.
        """
        if not values:
            return Rows()
        statement = self._loading.get(by) or self._loading_by(by)
        rows = (self.row(row) for row in statement.fetch(connection, keys=values))
        return Rows({self._key_of(row): row for row in rows})

    def save(self, connection: Connection, rows: Rows[K, R]) -> None:
        """Write all new rows by one statement and all changed rows by another one."""
        self.append(connection, rows.inserted)
        self._update.execute_many(connection, rows.updated)

    def _loading_by(self, by: str) -> Statement:
        query = select(*self.columns).where(among(self.table.c[by], "keys"))
        query = query.order_by(*(self.table.c[name] for name in self._key)).with_for_update()
        self._loading[by] = Statement(query)
        return self._loading[by]
