"""Statements that are compiled once for each dialect, with values bound by name.

A batch runs the same dozen statements again and again. SQLAlchemy builds, hashes and looks up a
statement for each execution, which takes many times what SQLite itself needs. A `Statement` keeps
the compiled text and the conversions of its values, and executes them on a cursor of the driver
(decision 12).

The text must not depend on the number of keys that are looked up: see `among`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Delete,
    Dialect,
    Insert,
    Select,
    String,
    Table,
    TableValuedAlias,
    Text,
    TypeDecorator,
    Update,
    bindparam,
    func,
    insert,
    select,
    update,
)
from sqlalchemy import column as sql_column
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import Boolean, TypeEngine

Convert = Callable[[Any], Any]
Clause = Select[Any] | Insert | Update | Delete
Row = dict[str, Any] | msgspec.Struct
"""The values of one execution: each parameter takes the item, or the field, of its own name."""


class Statement:
    """A statement with the `bindparam`s of its clause as parameters.

    Its methods raise the driver's errors. `Database.run` turns those of an outage into Outage, and
    SQLAlchemy replaces a broken connection when the transaction is rolled back.
    """

    def __init__(self, clause: Clause) -> None:
        self._clause = clause
        self._prepared: dict[str, Prepared] = {}

    def fetch(self, connection: Connection, **values: Any) -> list[tuple[Any, ...]]:
        """Run a query. Returns its rows."""
        prepared = self.prepare(connection.dialect)
        [bound] = prepared.bind([{}], values)
        with closing(connection.connection.cursor()) as cursor:
            cursor.execute(prepared.text, bound)
            return prepared.read(cursor.fetchall())

    def execute(self, connection: Connection, **values: Any) -> None:
        """Run it once."""
        self.execute_many(connection, [{}], **values)

    def execute_many(self, connection: Connection, rows: Iterable[Row], **common: Any) -> None:
        """Run it once for each row. `common` are values that all rows share."""
        if rows := list(rows):
            prepared = self.prepare(connection.dialect)
            _execute(connection, prepared.text, prepared.bind(rows, common))

    def prepare(self, dialect: Dialect) -> "Prepared":
        """The statement in this dialect."""
        prepared = self._prepared.get(dialect.name)
        if prepared is None:
            prepared = self._prepared[dialect.name] = Prepared(self._clause, dialect)
        return prepared


class Prepared:
    """A statement in one dialect. Its text has a place for each of `names`, in their order."""

    def __init__(self, clause: Clause, dialect: Dialect) -> None:
        compiled = clause.compile(dialect=dialect)
        assert isinstance(compiled, SQLCompiler)
        assert compiled.positiontup is not None, "the engine's paramstyle is positional"
        self.text = compiled.string
        self.names = compiled.positiontup
        binds = [compiled.binds[name] for name in self.names]
        self._constants = {
            name: bind.value
            for name, bind in zip(self.names, binds, strict=True)
            if not bind.required
        }
        columns = clause.selected_columns if isinstance(clause, Select) else ()
        self._to_driver = _by_place(_to_driver(bind.type, dialect) for bind in binds)
        self._from_driver = _by_place(_from_driver(column.type, dialect) for column in columns)

    def bind(self, rows: Sequence[Row], common: Mapping[str, Any]) -> list[list[Any]]:
        """The values of each row as the driver takes them. Raises what a missing value raises."""
        known = {**self._constants, **common}
        get: Callable[[Any, str], Any] = dict.__getitem__ if isinstance(rows[0], dict) else getattr
        bound = [
            [known[name] if name in known else get(row, name) for name in self.names]
            for row in rows
        ]
        return _convert(bound, self._to_driver)

    def read(self, rows: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
        """Rows of the driver with values of the columns' types."""
        return [tuple(row) for row in _convert([list(row) for row in rows], self._from_driver)]


def _execute(connection: Connection, text: str, bound: Sequence[Sequence[Any]]) -> None:
    with closing(connection.connection.cursor()) as cursor:
        if len(bound) == 1:
            cursor.execute(text, bound[0])
        else:
            cursor.executemany(text, bound)


def _by_place(converts: Iterable[Convert | None]) -> list[tuple[int, Convert]]:
    return [(place, convert) for place, convert in enumerate(converts) if convert is not None]


def _convert(rows: list[list[Any]], converts: Sequence[tuple[int, Convert]]) -> list[list[Any]]:
    for row in rows:
        for place, convert in converts:
            row[place] = convert(row[place])
    return rows


def _to_driver(of: TypeEngine[Any], dialect: Dialect) -> Convert | None:
    return of.dialect_impl(dialect).bind_processor(dialect)


def _from_driver(of: TypeEngine[Any], dialect: Dialect) -> Convert | None:
    return of.dialect_impl(dialect).result_processor(dialect, None)


class _ManyRows(Statement):
    """A statement of which PostgreSQL executes all rows at once, column by column.

    The start and the end of a statement cost PostgreSQL more than a row. SQLite has neither cost.
    """

    def __init__(self, of_one: Insert | Update, of_all: Insert | Update) -> None:
        super().__init__(of_one)
        self._of_all = Statement(of_all)

    def execute_many(self, connection: Connection, rows: Iterable[Row], **common: Any) -> None:
        if connection.dialect.name != "postgresql":
            super().execute_many(connection, rows, **common)
        elif rows := list(rows):
            of_one, of_all = (each.prepare(connection.dialect) for each in (self, self._of_all))
            columns = zip(*of_one.bind(rows, common), strict=True)
            by_name = dict(zip(of_one.names, map(list, columns), strict=True))
            _execute(connection, of_all.text, [[by_name[name] for name in of_all.names]])


def inserting(table: Table, names: Sequence[str]) -> Statement:
    """Inserts rows with these columns."""
    of_one = insert(table).values({name: bindparam(name) for name in names})
    new = _rows(table, names)
    return _ManyRows(of_one, insert(table).from_select([*names], select(new)))


def inserting_new(table: Table, names: Sequence[str]) -> Statement:
    """Inserts rows with these columns; a row whose key exists stays as it is."""
    new = upsert(table).values({name: bindparam(name) for name in names})
    return Statement(new.on_conflict_do_nothing())


def updating(table: Table, names: Sequence[str], by: Sequence[str]) -> Statement:
    """Updates columns of the row with the key `by`. Several rows may not have the same key.

    (Of two updates of one row PostgreSQL would execute one.)
    """
    keys = [table.c[name] for name in by]
    this_row = (key == bindparam(key.key, type_=key.type) for key in keys)
    of_one = update(table).where(*this_row).values({name: bindparam(name) for name in names})
    new = _rows(table, (*names, *by))
    these_rows = (key == new.c[key.key] for key in keys)
    of_all = update(table).where(*these_rows).values({name: new.c[name] for name in names})
    return _ManyRows(of_one, of_all)


def adding(table: Table, names: Sequence[str], by: Sequence[str]) -> Statement:
    """Adds to numbers of the row with the key `by`, or inserts it.

    No row has to be loaded, and additions commute. Sort the rows by their key, so that two
    instances lock them in the same order.
    """
    new = upsert(table).values({name: bindparam(name) for name in (*by, *names)})
    sums = {name: table.c[name] + new.excluded[name] for name in names}
    # Written for PostgreSQL; SQLite's compiler renders the same statement.
    return Statement(new.on_conflict_do_update(index_elements=[*by], set_=sums))


def _rows(table: Table, names: Sequence[str]) -> TableValuedAlias:
    """Rows with these columns of a table, from parameters that are lists of a column's values."""
    types = {name: _without_length(table.c[name].type) for name in names}
    lists = (bindparam(name, type_=ARRAY(of, dimensions=1)) for name, of in types.items())
    unnested = func.unnest(*lists).table_valued(*(sql_column(*each) for each in types.items()))
    return unnested.render_derived(name="new")


def _without_length(of: TypeEngine[Any]) -> TypeEngine[Any]:
    """The parameter's type: PostgreSQL would silently cut a `VARCHAR(9)` to nine characters."""
    return Text() if type(of) is String else of


class _Keys(TypeDecorator[Sequence[str]]):
    """Any number of keys as one value."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(ARRAY(Text) if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: Sequence[str] | None, dialect: Dialect) -> Any:
        if value is None or dialect.name == "postgresql":
            return value
        return msgspec.json.encode(value).decode()


class _Among(ColumnElement[bool]):
    inherit_cache = True
    type = Boolean()

    def __init__(self, column: ColumnElement[Any], name: str) -> None:
        self.column = column
        self.keys = bindparam(name, type_=_Keys())

    def self_group(self, against: Any = None) -> ColumnElement[Any]:  # noqa: ARG002 - its signature
        """Unchanged: SQLAlchemy would render `... = 1`, for which SQLite scans the table."""
        return self


def among(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """`column IN (...)` with a list of any length as the one parameter `name`."""
    return _Among(column, name)


@compiles(_Among, "sqlite")
def _among_in_sqlite(element: _Among, compiler: SQLCompiler, **options: Any) -> str:
    column = compiler.process(element.column, **options)
    keys = compiler.process(element.keys, **options)
    return f"{column} IN (SELECT value FROM json_each({keys}))"  # noqa: S608 - a bound parameter


@compiles(_Among, "postgresql")
def _among_in_postgresql(element: _Among, compiler: SQLCompiler, **options: Any) -> str:
    column = compiler.process(element.column, **options)
    return f"{column} = ANY({compiler.process(element.keys, **options)})"
