"""How a command prints, and ends: its exit status, and an error that a person can correct."""

from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.text import Text

from infra.stack.config import StackError


class CommandConsole(Console):
    """A console whose texts can't steer the terminal: clients chose some of them."""

    def render_str(self, text: str, **options: Any) -> Text:
        lines = map(visible, text.split("\n"))
        return super().render_str("\n".join(lines), **options)


def visible(text: str) -> str:
    """The text in one line, with an escape such as `\\x1b` for each character that is not shown.

    Those are line breaks, the beginnings of a terminal's commands, and marks that turn the
    direction of writing.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escape(each) for each in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def run(command: Callable[[], int | None], *errors: type[Exception]) -> int:
    """The command's exit status; 1 after a StackError or one of `errors`, which are printed."""
    try:
        return command() or 0
    except StackError as error:
        sentence = str(error)
    except errors as error:
        sentence = f"{error!r}. Look at: make status"
    except KeyboardInterrupt:
        return 130
    CommandConsole(stderr=True).print(sentence, style="red", markup=False, soft_wrap=True)
    return 1
