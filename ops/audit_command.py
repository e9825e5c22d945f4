"""`make audit`: print each check's result and the verdict, which is also the exit status.

0  clean: all was judged, and nothing is wrong
1  wrong: something does not add up, and is not acknowledged
2  a database, the broker or a statement can't be read, or an argument is wrong
3  not everything judged: nothing of what was judged is wrong
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec
from rich.console import Console
from rich.text import Text

from infra.stack import tables
from infra.stack.config import SERVICES, StackError
from infra.stack.console import CommandConsole, visible
from ops import deployment

if TYPE_CHECKING:  # imported when the command runs: the other commands need no database libraries
    from ops.audit.findings import Report

_MAX_SHOWN = 100
_QUIET_SECONDS = 5.0
_LIMIT_SECONDS = 60.0
_WAIT_SECONDS = 10.0
_STATUS = {"clean": 0, "wrong": 1, "not everything judged": 3}


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its options to the parser of `python -m ops`."""
    explained = "check that money, stock, coupons and events add up; changes nothing"
    parser = commands.add_parser(
        "audit",
        help=explained,
        description=explained,
        epilog="Exits with 0 when all is clean, 1 with discrepancies, 2 when it can't read all, 3 "
        "when nothing is wrong and not everything could be judged.",
    )
    for name, default, what in (
        ("quiet", _QUIET_SECONDS, "check only orders without an event for so long"),
        ("limit", _LIMIT_SECONDS, "how long an order may be unsettled"),
        ("wait", _WAIT_SECONDS, "how long to look again at orders that can't be judged yet"),
    ):
        parser.add_argument(
            f"--{name}-seconds", type=_seconds, default=default, help=f"{what} (default: {default})"
        )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--acknowledge",
        metavar="NAME",
        help="store that a discrepancy is understood; with --reason",
    )
    parser.add_argument("--reason", default="", help="why it may stay")
    parser.add_argument("--by", help="who acknowledges it (default: the user)")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from ops.audit import CannotRead, acknowledgements, judge

    def look() -> "Report":
        return judge(
            wait_seconds=arguments.wait_seconds,
            quiet_seconds=arguments.quiet_seconds,
            limit_seconds=arguments.limit_seconds,
        )

    try:
        report = look()
        if arguments.acknowledge:
            shop = deployment.find()
            acknowledgements.acknowledge(
                shop, report, arguments.acknowledge, arguments.reason, arguments.by
            )
            known = acknowledgements.load(shop)
            report = msgspec.structs.replace(report, acknowledgements=known)
    except (CannotRead, StackError) as problem:
        print(visible(str(problem)), file=sys.stderr)
        return 2
    if arguments.json:
        print(_json(report))
    else:
        show(report, CommandConsole())
    return _STATUS[report.verdict]


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 up")
    return seconds


def _json(report: "Report") -> str:
    acknowledged = [found.name for found, _ in report.acknowledged]
    head = {"verdict": report.verdict, "clean": report.verdict == "clean"}
    body = head | msgspec.to_builtins(report) | {"acknowledged": acknowledged}
    return msgspec.json.format(msgspec.json.encode(body), indent=2).decode()


def show(report: "Report", console: Console) -> None:
    """Print a report: the checks, what is wrong, what is acknowledged, and the verdict."""
    rows: list[tuple[tables.Cell, ...]] = []
    for result in report.results:
        wrong = sum(report.acknowledgement(each) is None for each in result.discrepancies)
        count = Text(f"{wrong:,}", "red" if wrong else "green")
        rows.append((result.check, f"{result.looked_at:,}", count))
    columns = ("check", "looked at", "wrong")
    tables.show(console, columns, rows, right=columns[1:])

    def line(text: str, style: str = "") -> None:
        console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    _show_discrepancies(report, line)
    _show_unjudged(report, line)
    for name in report.not_compared:
        line(f"Not compared: {name} gives no statement.")
    colour = {"clean": "green", "wrong": "red"}.get(report.verdict, "yellow")
    line(verdict(report), f"bold {colour}")


def _show_discrepancies(report: "Report", line: Callable[[str], None]) -> None:
    found = list(report.discrepancies)
    known = {each.name: each for each in report.acknowledgements}
    for discrepancy in found[:_MAX_SHOWN]:
        line(f"{discrepancy}\n    {discrepancy.name}")
        if other := known.get(discrepancy.name):
            line(f"    acknowledged by {other.by} with other figures: {'; '.join(other.found)}")
    if len(found) > _MAX_SHOWN:
        line(f"... and {len(found) - _MAX_SHOWN:,} more; all of them: --json")
    for discrepancy, by in report.acknowledged:
        line(f"acknowledged by {by.by} at {by.at} ({by.reason}): {discrepancy}")


def _show_unjudged(report: "Report", line: Callable[[str], None]) -> None:
    if not any(result.looked_at for result in report.results):
        line("Nothing was judged: the databases are empty.")
    for why, count in Counter(each.why for each in report.unjudged).most_common():
        service = why.partition(" ")[0]
        name = f"SERVICE={service}"
        others = (
            f", start it if it is stopped (make start {name}), or release it if it is in recovery "
            f"mode (make release {name})"
            if service in SERVICES
            else ""
        )
        line(f"{count:,} not judged: {why}. Wait{others}.")


def verdict(report: "Report") -> str:
    """The verdict in one line."""
    notes = [f"{report.orders:,} orders"]
    notes += [f"{len(report.acknowledged):,} acknowledged"] if report.acknowledged else []
    notes += [f"{len(report.waiting):,} wait for the release"] if report.waiting else []
    notes += [f"{len(report.unjudged):,} not judged"] if report.unjudged else []
    count = sum(1 for _ in report.discrepancies)
    named = "discrepancy" if count == 1 else "discrepancies"
    head = f"{count:,} {named}" if count else str(report.verdict)
    return f"{head} ({', '.join(notes)})"
