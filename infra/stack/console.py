"""How a command ends: its exit status, and an error that a person can correct as one sentence."""

from collections.abc import Callable

from rich.console import Console

from infra.stack.config import StackError


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
    Console(stderr=True).print(sentence, style="red", markup=False, soft_wrap=True)
    return 1
