"""Statements that are compiled once, and then run on the driver's own cursor.

A batch runs the same dozen statements over and over. To build, hash and look up each of them every
time costs many times what SQLite needs to carry it out. Here all that is done once for a dialect:
what is left are the values, put into the driver's form by the columns' own types.

For that the text must not depend on how many keys are asked for: see `among`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    Column,
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
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import Boolean, TypeEngine

Process = Callable[[Any], Any] | None
Values = Sequence[Any]


class Statement:
    """A statement whose values are given by position: `names` are its parameters, in their order.

    Raises what `Connection.execute` raises.
    """

    def __init__(self, clause: Select[Any] | Insert | Update | Delete, *names: str) -> None:
        self._clause = clause
        self._names = names
        self._prepared: dict[str, _Prepared] = {}

    def rows(self, connection: Connection, *values: Any) -> list[tuple[Any, ...]]:
        """Run a query."""
        prepared = self._for(connection.dialect)
        cursor = connection.connection.cursor()
        try:
            cursor.execute(prepared.text, prepared.bind(values))
            return [prepared.read(row) for row in cursor.fetchall()]
        except prepared.driver_error as error:
            raise _translated(connection, prepared, error) from error
        finally:
            cursor.close()

    def run(self, connection: Connection, many: Iterable[Values]) -> None:
        """Run it once for each of these; not at all for none."""
        prepared = self._for(connection.dialect)
        bound = [prepared.bind(values) for values in many]
        if not bound:
            return
        cursor = connection.connection.cursor()
        try:
            if len(bound) == 1:
                cursor.execute(prepared.text, bound[0])
            else:
                cursor.executemany(prepared.text, bound)
        except prepared.driver_error as error:
            raise _translated(connection, prepared, error) from error
        finally:
            cursor.close()

    def _for(self, dialect: Dialect) -> "_Prepared":
        prepared = self._prepared.get(dialect.name)
        if prepared is None:
            prepared = _Prepared(self._clause, self._names, dialect)
            self._prepared[dialect.name] = prepared
        return prepared


class _Prepared:
    """A statement in one dialect. Its parameters are positional: the engine is made so."""

    def __init__(
        self, clause: Select[Any] | Insert | Update | Delete, names: Sequence[str], dialect: Dialect
    ) -> None:
        compiled = clause.compile(dialect=dialect)
        assert isinstance(compiled, SQLCompiler)
        assert compiled.positiontup is not None, "the engine's paramstyle is positional"
        self.text = compiled.string
        self.driver_error: type[Exception] = dialect.loaded_dbapi.Error
        types = {name: bound.type for name, bound in compiled.binds.items()}
        constants = {name: value for name, value in compiled.params.items() if name not in names}
        self._places = [
            (names.index(name) if name in names else None, _to_driver(types[name], dialect))
            for name in compiled.positiontup
        ]
        self._constants = [constants.get(name) for name in compiled.positiontup]
        columns = clause.selected_columns if isinstance(clause, Select) else ()
        self._read = [
            (place, process)
            for place, column in enumerate(columns)
            if (process := _from_driver(column.type, dialect)) is not None
        ]

    def bind(self, values: Values) -> list[Any]:
        """The values, as the driver takes them."""
        bound = list(self._constants)
        for place, (index, process) in enumerate(self._places):
            value = bound[place] if index is None else values[index]
            bound[place] = value if process is None else process(value)
        return bound

    def read(self, row: Values) -> tuple[Any, ...]:
        """A row of the driver's, with the columns' types."""
        if not self._read:
            return tuple(row)
        values = list(row)
        for place, process in self._read:
            values[place] = process(values[place])
        return tuple(values)


def _to_driver(of: TypeEngine[Any], dialect: Dialect) -> Process:
    return of.dialect_impl(dialect).bind_processor(dialect)


def _from_driver(of: TypeEngine[Any], dialect: Dialect) -> Process:
    return of.dialect_impl(dialect).result_processor(dialect, None)


def _translated(connection: Connection, prepared: _Prepared, error: Exception) -> BaseException:
    """The driver's error as SQLAlchemy's, and the connection given up if it is broken."""
    dialect = connection.dialect
    driver: Any = connection.connection.dbapi_connection
    is_broken = dialect.is_disconnect(error, driver, None)  # type: ignore[arg-type]
    if is_broken:
        connection.invalidate(error)
    return DBAPIError.instance(
        prepared.text,
        None,
        error,
        prepared.driver_error,
        connection_invalidated=is_broken,
        dialect=dialect,
    )


class _ManyRows(Statement):
    """A statement for many rows, of which PostgreSQL takes all at once, column by column.

    There, to begin a statement and to answer it costs more than its row does. SQLite has neither.
    """

    def __init__(self, of_one: Insert | Update, of_all: Insert | Update, *names: str) -> None:
        super().__init__(of_one, *names)
        self._of_all = Statement(of_all, *names)

    def run(self, connection: Connection, many: Iterable[Values]) -> None:
        if connection.dialect.name != "postgresql":
            super().run(connection, many)
        elif columns := [list(values) for values in zip(*many, strict=True)]:
            self._of_all.run(connection, [columns])


def inserting(table: Table, names: Sequence[str]) -> Statement:
    """Adds rows with these columns."""
    of_one = insert(table).values({name: bindparam(name) for name in names})
    new = _rows({name: table.c[name] for name in names})
    return _ManyRows(of_one, insert(table).from_select([*names], select(new)), *names)


def inserting_new(table: Table, names: Sequence[str]) -> Statement:
    """Adds rows with these columns; one that is there already stays as it is."""
    new = upsert(table).values({name: bindparam(name) for name in names})
    return Statement(new.on_conflict_do_nothing(), *names)


def updating(table: Table, names: Sequence[str], by: Sequence[str]) -> Statement:
    """Changes columns of the row with a key: first their values, then the key's. A key comes once.

    (Of two changes of the same row PostgreSQL would make one.)
    """
    keys = {f"_{name}": table.c[name] for name in by}
    these = (column == bindparam(name, type_=column.type) for name, column in keys.items())
    of_one = update(table).where(*these).values({name: bindparam(name) for name in names})
    new = _rows({name: table.c[name] for name in names} | keys)
    those = (column == new.c[name] for name, column in keys.items())
    of_all = update(table).where(*those).values({name: new.c[name] for name in names})
    return _ManyRows(of_one, of_all, *names, *keys)


def _rows(columns: Mapping[str, Column[Any]]) -> TableValuedAlias:
    """Rows made of parameters of these names, each of which is a list of a column's values."""
    types = {name: _without_length(column.type) for name, column in columns.items()}
    lists = (bindparam(name, type_=ARRAY(of, dimensions=1)) for name, of in types.items())
    made = func.unnest(*lists).table_valued(*(sql_column(*each) for each in types.items()))
    return made.render_derived(name="new")


def _without_length(of: TypeEngine[Any]) -> TypeEngine[Any]:
    """The parameter's type: as `VARCHAR(9)` it would be cut off after nine without a word."""
    return Text() if type(of) is String else of


def adding(table: Table, names: Sequence[str], by: Sequence[str]) -> Statement:
    """Adds to numbers of the row with a key, or makes it: first the key's values, then theirs.

    Nothing has to be loaded, and it is all the same who adds first. Sort the rows by their key:
    two instances then never wait for each other.
    """
    new = upsert(table).values({name: bindparam(name) for name in (*by, *names)})
    sums = {name: table.c[name] + new.excluded[name] for name in names}
    # Written for PostgreSQL; SQLite's compiler makes the same of it.
    return Statement(new.on_conflict_do_update(index_elements=[*by], set_=sums), *by, *names)


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
        """As it is: SQLAlchemy would make it `... = 1`, and SQLite would scan the table."""
        return self


def among(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """`column IN (...)`, with all the keys in the one parameter `name`: a list, of any length."""
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
