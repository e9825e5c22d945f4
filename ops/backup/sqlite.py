"""Backups of a SQLite database, by SQLite's own backup interface.

Copying the file of a running database misses its newest rows, which are in its write-ahead log.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from chassis.storage.migrations import SchemaHistory
from infra.stack.config import StackError
from ops.backup.databases import check_version, sync, time_stamp, written_whole
from saga.errors import ConfigurationError

# Every open connection to a database in WAL mode holds a shared lock on one of these bytes
# (sqlite.org/fileformat2.html, "The Lock-Byte Page").
_SHARED_LOCKS_START = 0x4000_0002
_SHARED_LOCKS_LENGTH = 510


class SqliteDatabase:
    def __init__(self, path: Path, history: SchemaHistory) -> None:
        self._path = path
        self._history = history

    def back_up(self, folder: Path) -> Path:
        target = folder / f"{self._history.service}-{time_stamp()}.db"
        if not self._path.is_file():
            raise StackError(f"{self._history.service} has no database: there is no {self._path}.")
        with written_whole(target) as part:
            _copy(self._path, part)
            self._check(part, self._path)
        return target

    @contextmanager
    def staged(self, backup: Path) -> Iterator[Path]:
        """A copy in the database's folder, with what a write-ahead log beside the backup holds."""
        copy = self._path.with_name(f".{self._path.name}.restoring")
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            copy.touch(mode=0o600)
            _copy(backup, copy)
            self._check(copy, backup)
            sync(copy)
            yield copy
        finally:
            copy.unlink(missing_ok=True)

    def refuse_in_use(self) -> None:
        if not self._path.exists():
            return
        with self._path.open("r+b") as file:
            try:
                lock = fcntl.LOCK_EX | fcntl.LOCK_NB
                fcntl.lockf(file, lock, _SHARED_LOCKS_LENGTH, _SHARED_LOCKS_START)
            except OSError as error:
                raise StackError(
                    f"A process has {self._path} open: stop every instance of "
                    f"{self._history.service} first."
                ) from error

    def replace(self, staged: Path) -> Path:
        """The replaced database keeps its write-ahead log, which holds its newest rows."""
        aside = self._path.with_name(f"{self._path.name}.replaced-{time_stamp()}")
        for suffix in ("", "-wal"):
            file = Path(f"{self._path}{suffix}")
            if file.exists():
                file.rename(f"{aside}{suffix}")
        Path(f"{self._path}-shm").unlink(missing_ok=True)
        staged.rename(self._path)
        sync(self._path.parent)
        return aside

    def _check(self, file: Path, source: Path) -> None:
        """Check a copy of `source` that has no write-ahead log."""
        with closing(_connect(file, "immutable=1")) as connection:
            try:
                [[found], *_] = connection.execute("PRAGMA integrity_check").fetchall()
            except sqlite3.DatabaseError as error:
                found = str(error)
            if found != "ok":
                raise StackError(f"{source} is corrupt: {' '.join(found.split())}.")
            engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)
            try:
                with engine.connect() as checked:
                    version = self._history.find_version(checked)
            except ConfigurationError as error:
                raise StackError(f"{source}: {error.message}") from error
        check_version(source, self._history, version)


def _copy(source: Path, target: Path) -> None:
    """Copy in one step: a copy in several begins again whenever the service writes."""
    try:
        with closing(_connect(source)) as original, closing(sqlite3.connect(target)) as copied:
            original.backup(copied)
            copied.execute("PRAGMA journal_mode = DELETE")  # so that it is one file, and stays so
    except sqlite3.OperationalError as error:
        raise StackError(f"{source} can't be copied: {error}.") from error
    except sqlite3.DatabaseError as error:
        raise StackError(f"{source} is corrupt: {error}.") from error


def _connect(file: Path, mode: str = "mode=ro") -> sqlite3.Connection:
    return sqlite3.connect(f"{Path(os.path.abspath(file)).as_uri()}?{mode}", uri=True)  # noqa: PTH100 - links stay as they are
