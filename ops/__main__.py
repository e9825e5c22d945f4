"""The operators' commands. `make help` lists them with their everyday names."""

import argparse
import sys
from collections.abc import Callable

from rich.console import Console

from infra.stack import config, processes
from infra.stack.config import SERVICES, Stack, StackError

_console = Console()


def main() -> int:
    """Run one command. An error that a person can correct is printed as one sentence."""
    arguments = _parser().parse_args()
    run: Callable[[argparse.Namespace], None] = arguments.run
    try:
        run(arguments)
    except StackError as problem:
        Console(stderr=True).print(str(problem), style="red", markup=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ops", description=__doc__, epilog="The audit: python -m ops.audit"
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    trace = commands.add_parser("trace", help="one order's events")
    trace.add_argument("order")
    trace.set_defaults(run=_trace)
    commands.add_parser("dlq", help="the dead letters of all services").set_defaults(run=_dlq)
    redrive = commands.add_parser("redrive", help="handle dead letters again")
    redrive.add_argument("service", choices=SERVICES)
    redrive.add_argument("letter", help="a dead letter's id, or all")
    redrive.set_defaults(run=_redrive)
    return parser


def _trace(arguments: argparse.Namespace) -> None:
    from ops import trace

    trace.show(_running(), arguments.order, _console)


def _dlq(_: argparse.Namespace) -> None:
    from ops import dead_letters

    dead_letters.show(_running(), _console)


def _redrive(arguments: argparse.Namespace) -> None:
    from ops import dead_letters

    dead_letters.redrive(_running(), arguments.service, arguments.letter, _console)


def _running() -> Stack:
    stack = config.recorded(config.state_dir())
    if stack is None or not processes.answers(stack):
        raise StackError("The stack is not running. Run: make up")
    return stack


if __name__ == "__main__":
    sys.exit(main())
