"""The tables of all commands: nothing is cut, and each row is one line for programs."""

from io import StringIO

import pytest
from rich.console import Console
from rich.text import Text

from infra.stack import tables

ID = "01a1fd5b-b50e-7f17-aedd-45aaa59806e5"
ERROR = "ValueError: [red] is no colour,\nand this is a sentence that is longer than a terminal"
COLUMNS = ("id", "orders", "healthy", "key", "error")
ROWS = [("7", "1,000", Text("yes", "green"), ID, ERROR), ("12", "3", Text("no"), ID, "short")]


def printed(width: int, *, is_terminal: bool) -> str:
    output = StringIO()
    console = Console(file=output, width=width, force_terminal=is_terminal, color_system=None)
    tables.show(console, COLUMNS, ROWS, title="Parts", right=("id", "orders"))
    return output.getvalue()


@pytest.mark.parametrize("width", [20, 80, 100, 500])
def test_row_is_one_line_where_output_is_no_terminal(width: int) -> None:
    lines = printed(width, is_terminal=False).splitlines()
    sentence = ERROR.replace("\n", " ")
    assert lines == [
        "Parts",
        f"id  orders  healthy  key{' ' * 33}  error",
        f" 7   1,000  yes      {ID}  {sentence}",
        f"12       3  no       {ID}  short",
    ]


@pytest.mark.parametrize("width", [20, 60, 80, 100, 200])
def test_terminal_gets_every_word_whole(width: int) -> None:
    text = printed(width, is_terminal=True)
    words = {word for row in ROWS for cell in row for word in str(cell).split()}
    assert words <= set(text.split())
    assert "…" not in text


def test_wide_terminal_gets_a_table_and_a_narrow_one_lines() -> None:
    assert "─" in printed(100, is_terminal=True)
    assert "─" not in printed(60, is_terminal=True)
    assert max(map(len, printed(100, is_terminal=True).splitlines())) <= 100
