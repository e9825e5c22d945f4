"""The operators' commands. `make help` lists them with their everyday names.

They work on the local stack, or on the deployment that environment variables name: see
`ops/deployment.py`.
"""

import argparse
import sys
from collections.abc import Callable

from infra.stack import console
from infra.stack.config import SERVICES
from ops import audit_command
from ops.backup import commands as backup_commands
from ops.load import command as load_command

_console = console.CommandConsole()


def main() -> int:
    """Run one command. Returns its exit status."""
    arguments = _parser().parse_args()
    run: Callable[[argparse.Namespace], int | None] = arguments.run
    return console.run(lambda: run(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ops",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    audit_command.add_to(commands)
    backup_commands.add_to(commands)
    load_command.add_to(commands)
    commands.add_parser("status", help="what runs, and each consumer's lag").set_defaults(
        run=_status
    )
    trace = commands.add_parser("trace", help="one order's events")
    trace.add_argument("order")
    trace.set_defaults(run=_trace)
    commands.add_parser("dlq", help="the dead letters of all services").set_defaults(run=_dlq)
    redrive = commands.add_parser("redrive", help="handle dead letters again")
    redrive.add_argument("service", choices=SERVICES)
    redrive.add_argument("letter", help="a dead letter's id, or all that are not done")
    redrive.add_argument("--preview", action="store_true", help="only show what it would do")
    redrive.set_defaults(run=_redrive)
    dismiss = commands.add_parser("dismiss", help="give dead letters up")
    dismiss.add_argument("service", choices=SERVICES)
    dismiss.add_argument("letter", help="a dead letter's id, or all that are not done")
    dismiss.add_argument("--reason", required=True, help="why nothing is left to do")
    dismiss.set_defaults(run=_dismiss)
    audit_log = commands.add_parser("audit-log", help="who has done what, in order of time")
    audit_log.add_argument("--service", choices=SERVICES, help="one service alone")
    audit_log.add_argument("--subject", help="the id of who did it")
    audit_log.add_argument("--action", help="such as DEAD_LETTER_REDRIVE")
    audit_log.add_argument(
        "--since", help="a time with its zone, 2026-01-31T09:00:00Z; a day ago if left out"
    )
    audit_log.set_defaults(run=_audit_log)
    explained = "give the broker's streams their settings, such as NATS_REPLICAS"
    commands.add_parser("streams", help=explained).set_defaults(run=_streams)
    recovery = commands.add_parser("recovery", help="what recovery mode found and still misses")
    recovery.add_argument("service", choices=SERVICES)
    recovery.set_defaults(run=_recovery)
    release = commands.add_parser("release", help="audit, then end a service's recovery mode")
    release.add_argument("service", choices=SERVICES)
    release.add_argument("--force", action="store_true", help="whatever the audit finds")
    release.set_defaults(run=_release)
    return parser


def _status(_: argparse.Namespace) -> int:
    from ops import deployment, status

    return 0 if status.show(deployment.find(), _console) else 1


def _trace(arguments: argparse.Namespace) -> None:
    from ops import deployment, trace

    trace.show(deployment.find(), arguments.order, _console)


def _dlq(_: argparse.Namespace) -> None:
    from ops import dead_letters, deployment

    dead_letters.show(deployment.find(), _console)


def _audit_log(arguments: argparse.Namespace) -> None:
    from ops import audit_log, deployment

    services = [arguments.service] if arguments.service else SERVICES
    wanted = audit_log.Wanted(arguments.since, arguments.subject, arguments.action)
    audit_log.show(deployment.find(), services, wanted, _console)


def _redrive(arguments: argparse.Namespace) -> int:
    from ops import dead_letters, deployment

    letter = arguments.service, arguments.letter
    if arguments.preview:
        dead_letters.preview(deployment.find(), *letter, _console)
        return 0
    return 0 if dead_letters.redrive(deployment.find(), *letter, _console) else 1


def _dismiss(arguments: argparse.Namespace) -> None:
    from ops import dead_letters, deployment

    letter = arguments.service, arguments.letter
    dead_letters.dismiss(deployment.find(), *letter, arguments.reason, _console)


def _release(arguments: argparse.Namespace) -> None:
    from ops import release

    release.release(arguments.service, _console, force=arguments.force)


def _recovery(arguments: argparse.Namespace) -> None:
    from ops import recovery

    recovery.show(arguments.service, _console)


def _streams(_: argparse.Namespace) -> None:
    from ops import streams

    streams.apply(_console)


if __name__ == "__main__":
    sys.exit(main())
