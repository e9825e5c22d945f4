"""The tables of all commands: nothing is cut, and each row is one line for programs."""

from io import StringIO

import httpx
import pytest
from rich.console import Console
from rich.text import Text

from infra.stack import tables
from infra.stack.config import StackError
from infra.stack.console import CommandConsole, run
from ops import dead_letters
from ops.deployment import Deployment

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


STEERING = "a\x1b[2J\x1b]0;owned\x07b\x9b31mc\u202ed\x7f\re"
SHOWN = r"a\x1b[2J\x1b]0;owned\x07b\x9b31mc\u202ed\x7f"


def is_steered(text: str) -> bool:
    return not text.replace("\n", "").isprintable()


@pytest.mark.parametrize("is_terminal", [True, False])
def test_text_of_a_client_does_not_steer_the_terminal(*, is_terminal: bool) -> None:
    output = StringIO()
    console = Console(file=output, width=200, force_terminal=is_terminal, color_system=None)
    tables.show(console, ("name", "error"), [(STEERING, Text(STEERING, "red"))])
    assert output.getvalue().count(r"\x1b[2J") == 2
    assert not is_steered(output.getvalue())


def test_lines_of_a_command_do_not_steer_the_terminal() -> None:
    output = StringIO()
    CommandConsole(file=output, width=200).print(f"one\n{STEERING}", markup=False)
    assert output.getvalue() == f"one\n{SHOWN}\\re\n"


def test_error_of_a_command_does_not_steer_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail() -> None:
        raise StackError(STEERING)

    assert run(fail) == 1
    assert SHOWN in capsys.readouterr().err.replace("\n", "")


def test_dead_letter_is_one_line_whatever_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second line could be taken for another letter's outcome."""
    output = StringIO()
    shop = Deployment({"PRODUCT_URL": "http://product.test"}, None)
    found = {"status": "FAILED_AGAIN", "attempts": 2, "reason": "MALFORMED"}
    body = found | {"error": f"{STEERING}\nproduct: dead letter 8 is REDRIVEN"}
    monkeypatch.setattr(httpx, "request", lambda *_, **__: httpx.Response(200, json=body))
    dead_letters.redrive(shop, "product", "7", Console(file=output, width=200))
    assert output.getvalue().count("\n") == 1
    assert not is_steered(output.getvalue())


def test_wide_terminal_gets_a_table_and_a_narrow_one_lines() -> None:
    assert "─" in printed(100, is_terminal=True)
    assert "─" not in printed(60, is_terminal=True)
    assert max(map(len, printed(100, is_terminal=True).splitlines())) <= 100
