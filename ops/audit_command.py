"""`make audit`: print each check's result. Exits with 0 when clean, with 1 or 2 otherwise."""

import argparse
import sys
from typing import TYPE_CHECKING

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from infra.stack.config import StackError

if TYPE_CHECKING:  # imported when the command runs: the other commands need no database libraries
    from ops.audit.findings import Report

_MAX_SHOWN = 100
_QUIET_SECONDS = 5.0
_LIMIT_SECONDS = 60.0


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its options to the parser of `python -m ops`."""
    explained = "check that money, stock, coupons and events add up; changes nothing"
    parser = commands.add_parser(
        "audit",
        help=explained,
        description=explained,
        epilog="Exits with 0 when all is clean, 1 with discrepancies, 2 when it can't read all.",
    )
    parser.add_argument(
        "--quiet-seconds",
        type=_seconds,
        default=_QUIET_SECONDS,
        help="check only orders without an event for so long (default: %(default)s)",
    )
    parser.add_argument(
        "--limit-seconds",
        type=_seconds,
        default=_LIMIT_SECONDS,
        help="how long an order may be unsettled (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from ops.audit import CannotRead, inspect

    try:
        report = inspect(
            quiet_seconds=arguments.quiet_seconds, limit_seconds=arguments.limit_seconds
        )
    except (CannotRead, StackError) as problem:
        print(problem, file=sys.stderr)
        return 2
    if arguments.json:
        print(_json(report))
    else:
        _print(report, Console(), arguments.quiet_seconds)
    return 0 if report.clean else 1


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 up")
    return seconds


def _json(report: "Report") -> str:
    body = {"clean": report.clean} | msgspec.to_builtins(report)
    return msgspec.json.format(msgspec.json.encode(body), indent=2).decode()


def _print(report: "Report", console: Console, quiet_seconds: float) -> None:
    table = Table("check", box=box.SIMPLE_HEAD)
    table.add_column("looked at", justify="right")
    table.add_column("wrong", justify="right")
    for result in report.results:
        wrong = len(result.discrepancies)
        table.add_row(
            result.check, f"{result.looked_at:,}", f"[red]{wrong:,}" if wrong else "[green]0"
        )
    console.print(table)
    found = list(report.discrepancies)
    for discrepancy in found[:_MAX_SHOWN]:
        console.print(str(discrepancy), markup=False, highlight=False, soft_wrap=True)
    if len(found) > _MAX_SHOWN:
        console.print(f"... and {len(found) - _MAX_SHOWN:,} more; all of them: --json")
    left_out = f", {report.under_way:,} of them not checked: unsettled, or not quiet for "
    orders = f"{report.orders:,} orders" + (
        f"{left_out}{quiet_seconds:g} s" if report.under_way else ""
    )
    if report.clean:
        console.print(f"[bold green]clean[/] ({orders})", highlight=False)
    else:
        console.print(f"[bold red]{len(found):,} discrepancies[/] ({orders})", highlight=False)
