"""A service's database, as far as backups need it: the same on SQLite and PostgreSQL."""

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import make_url

from chassis.participant import Participant
from chassis.settings import Settings, load
from chassis.storage.migrations import NEW, SchemaHistory
from events.participants import PARTICIPANTS
from infra.stack.config import StackError, state_dir


class ServiceDatabase(Protocol):
    """Each method raises StackError with the reason why it can't be done."""

    def back_up(self, folder: Path) -> Path:
        """Write a consistent copy of the running database, and check it. Returns its file."""

    def staged(self, backup: Path) -> AbstractContextManager[Path]:
        """Check a backup, and have it ready to `replace` the database."""

    def refuse_in_use(self) -> None:
        """Raise StackError while a process has the database open."""

    def replace(self, staged: Path) -> Path:
        """Put the staged backup in the database's place. Returns the file of the replaced one."""


def database_of(service: str, environment: Mapping[str, str] = os.environ) -> ServiceDatabase:
    """The database that these variables name, as for the service itself."""
    from ops.backup.postgres import PostgresDatabase
    from ops.backup.sqlite import SqliteDatabase

    at = dict(environment) | {"STATE_DIR": str(state_dir(environment))}
    url = make_url(load(Settings, service, PARTICIPANTS[service], at).database_url)
    participant: Participant[Any] = import_module(f"{service}.app").participant
    match url.get_backend_name():
        case "sqlite":
            return SqliteDatabase(Path(url.database or "").absolute(), participant.history)
        case "postgresql":
            return PostgresDatabase(url, participant, backups_folder(environment))
    raise StackError(f"Backups of {url.get_backend_name()} databases are not supported.")


def backups_folder(environment: Mapping[str, str] = os.environ) -> Path:
    return state_dir(environment) / "backups"


def check_version(backup: Path, history: SchemaHistory, found: int) -> None:
    """Raises StackError for an empty backup, and for one of a newer version than this code's."""
    if found == NEW:
        raise StackError(f"{backup} is empty.")
    if found > history.version:
        raise StackError(
            f"{backup} has schema version {found}, and this code writes {history.version}: "
            f"restore it with the newer code that made it."
        )


def time_stamp() -> str:
    """The time in UTC, for a file's name; to the millisecond, so that no file replaces another."""
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")[:-3] + "Z"


@contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """A temporary file that gets the target's name when it is complete and on the disk.

    Raises StackError when the folder can't be written.
    """
    part = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part.touch(mode=0o600)
        yield part
        sync(part)
        part.rename(target)
        sync(target.parent)
    except OSError as error:
        raise StackError(f"{target} can't be written: {error}") from error
    finally:
        part.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
