"""The one way in which the commands print tables: nothing is cut, whatever the output's width."""

from collections.abc import Collection, Sequence

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from infra.stack.console import visible

Cell = str | Text
"""A `Text` has a style. A `str` is printed as it is: it may hold what looks like markup.

In both, what would steer the terminal is printed as an escape: clients chose some of the texts.
"""

_ANY_WIDTH = 10_000


def show(
    console: Console,
    columns: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    *,
    title: str | None = None,
    right: Collection[str] = (),
) -> None:
    """Print rows: on a terminal as a table that folds sentences between their words.

    Elsewhere, and on a terminal that is too narrow for the words, each row is one aligned line.
    `right` names the columns of numbers.
    """
    table = _table(columns, rows, title, right)
    options = console.options.update(width=_ANY_WIDTH, max_width=_ANY_WIDTH)
    if console.is_terminal and Measurement.get(console, options, table).minimum <= console.width:
        console.print(table)
        return
    for line in [*([title] if title else []), *_lines(columns, rows, right)]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _table(
    columns: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    title: str | None,
    right: Collection[str],
) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for place, name in enumerate(columns):
        table.add_column(
            name,
            justify="right" if name in right else "left",
            no_wrap=not any(" " in str(row[place]) for row in rows),
            overflow="fold",
        )
    for row in rows:
        table.add_row(*map(_text, row))
    return table


def _text(cell: Cell) -> Text:
    """A line break stays: the table folds there."""
    lines = map(visible, str(cell).split("\n"))
    return Text("\n".join(lines), "" if isinstance(cell, str) else cell.style)


def _lines(
    columns: Sequence[str], rows: Sequence[Sequence[Cell]], right: Collection[str]
) -> list[str]:
    texts = [
        list(columns),
        *([visible(" ".join(str(cell).split())) for cell in row] for row in rows),
    ]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if name in right else cell.ljust(width)
            for name, cell, width in zip(columns, line, widths, strict=True)
        ).rstrip()
        for line in texts
    ]
