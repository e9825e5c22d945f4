"""`make backup` and `make restore`: copies of databases, and putting one back."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from infra.stack import config
from infra.stack.config import SERVICES, Stack, StackError


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands and their options to the parser of `python -m ops`."""
    backup = commands.add_parser("backup", help="copy the databases of running services")
    backup.add_argument("service", nargs="?", choices=SERVICES, help="default: all")
    backup.add_argument("--to", type=Path, help="the folder; default: STATE_DIR/backups")
    backup.set_defaults(run=_back_up)
    restore = commands.add_parser("restore", help="put a backup in the place of a database")
    restore.add_argument("service", choices=SERVICES)
    explained = "a backup's file; litestream: its newest copy"
    restore.add_argument("--from", dest="backup", type=Path, required=True, help=explained)
    restore.add_argument(
        "--stack",
        action="store_true",
        help="stop the service of the local stack before, and start it in recovery mode afterwards",
    )
    restore.set_defaults(run=_restore)


def _back_up(arguments: argparse.Namespace) -> None:
    from ops.backup.databases import backups_folder, database_of

    folder = arguments.to or backups_folder()
    for service in [arguments.service] if arguments.service else SERVICES:
        file = database_of(service).back_up(folder)
        print(f"{service}: {file} ({file.stat().st_size / 1e6:,.1f} MB)")


def _restore(arguments: argparse.Namespace) -> None:
    from ops.backup.databases import database_of

    service: str = arguments.service
    backup: Path = arguments.backup
    stack = _local_stack() if arguments.stack else None
    database = database_of(service)
    with _file(service, backup) as file, database.staged(file) as staged:
        if stack:
            _stop(stack, service)
        database.refuse_in_use()
        if stack:
            config.recovery_marker(stack, service).touch()  # first: whatever follows, it is safe
        replaced = database.replace(staged)
    print(f"{service} has the database of {backup}. The replaced one is kept: {replaced}")
    if stack is None:
        print(
            f"Next: start {service} with QUARANTINE=1, which is recovery mode. When the audit is "
            "clean, start it without."
        )
        return
    _start(stack, service)


@contextmanager
def _file(service: str, backup: Path) -> Iterator[Path]:
    from ops.backup import litestream
    from ops.backup.databases import backups_folder

    if str(backup) == litestream.NAME:
        backups_folder().mkdir(parents=True, exist_ok=True, mode=0o700)
        with TemporaryDirectory(dir=backups_folder()) as folder:
            yield litestream.fetch(service, Path(folder))
        return
    if not backup.is_file():
        raise StackError(f"There is no file {backup}. Name a backup: FROM=<file>")
    yield backup


def _local_stack() -> Stack:
    """The stack of STATE_DIR, running or stopped."""
    return config.recorded(config.state_dir()) or config.from_environment()


def _stop(stack: Stack, service: str) -> None:
    from infra.stack import processes

    if processes.answers(stack):
        processes.stop(stack, service)
        if stack.copies_continuously:  # it has the database open
            processes.stop(stack, "litestream")


def _start(stack: Stack, service: str) -> None:
    from infra.stack import processes, starting

    if not processes.answers(stack):
        print("The stack is not running: make up starts the service in recovery mode.")
        return
    starting.start_and_wait(stack, service)
    if stack.copies_continuously:
        starting.start_and_wait(stack, "litestream")
    print(f"{service} is in recovery mode: it replays the streams and publishes nothing.")
    print(f"When make audit is clean, end it with: make release SERVICE={service}")
