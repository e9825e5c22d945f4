"""`make audit`: print what adds up and what does not. 0: clean, 1: it is not, 2: can't tell."""

import argparse
import sys

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from infra.stack.config import StackError
from ops.audit.findings import CannotRead, Report
from ops.audit.inspection import LIMIT_SECONDS, QUIET_SECONDS, inspect

_MAX_SHOWN = 100


def main() -> int:
    arguments = _parser().parse_args()
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ops.audit",
        description="Check that money, stock, coupons and events add up. Changes nothing.",
        epilog="Ends with 0 when all is clean, 1 when something is not, 2 when it can't tell.",
    )
    parser.add_argument(
        "--quiet-seconds",
        type=_seconds,
        default=QUIET_SECONDS,
        help="judge only orders to which nothing has happened for so long (default: %(default)s)",
    )
    parser.add_argument(
        "--limit-seconds",
        type=_seconds,
        default=LIMIT_SECONDS,
        help="how long an order may be under way (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 up")
    return seconds


def _json(report: Report) -> str:
    body = {"clean": report.clean} | msgspec.to_builtins(report)
    return msgspec.json.format(msgspec.json.encode(body), indent=2).decode()


def _print(report: Report, console: Console, quiet_seconds: float) -> None:
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
    left_out = f", {report.under_way:,} of them not judged: under way, or not quiet for "
    orders = f"{report.orders:,} orders" + (
        f"{left_out}{quiet_seconds:g} s" if report.under_way else ""
    )
    if report.clean:
        console.print(f"[bold green]clean[/] ({orders})", highlight=False)
    else:
        console.print(f"[bold red]{len(found):,} discrepancies[/] ({orders})", highlight=False)


if __name__ == "__main__":
    sys.exit(main())
