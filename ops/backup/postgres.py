"""Backups of a PostgreSQL database, by `pg_dump` and `pg_restore`.

The password is passed in the environment: other users can read a program's arguments.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import URL

from chassis.participant import Participant
from chassis.storage import tables
from chassis.storage.migrations import FIRST, NEW
from infra.stack.config import StackError
from infra.stack.waiting import wait_until
from ops.backup.databases import check_version, time_stamp, written_whole

_CLOSING_SECONDS = 5.0
"""How long the server may need to notice that a process has ended."""

_TABLE = re.compile(r" TABLE (?!DATA )\S+ (\S+) ")
_VERSION = re.compile(r"^(\w+)\t(\d+)$", re.MULTILINE)


def program(name: str) -> str | None:
    """One of PostgreSQL's programs. Debian installs them outside PATH."""
    beside = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(beside[-1]) if beside else None)


class PostgresDatabase:
    def __init__(self, url: URL, participant: Participant[Any], backups: Path) -> None:
        """`backups` is the folder for the dump of a database that is replaced."""
        plain = url.set(drivername="postgresql", password=None)
        self._url = plain.render_as_string(hide_password=False)
        self._password = url.password or ""
        self._history = participant.history
        self._tables = {"schema_version", *tables.metadata.tables, *participant.schema.tables}
        self._backups = backups

    def back_up(self, folder: Path) -> Path:
        return self._dump(folder / f"{self._history.service}-{time_stamp()}.dump")

    @contextmanager
    def staged(self, backup: Path) -> Iterator[Path]:
        self._check(backup)
        yield backup

    def refuse_in_use(self) -> None:
        others = 0

        def is_free() -> bool:
            nonlocal others
            with self._connect() as connection:
                [others] = connection.execute(
                    "SELECT count(*) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                ).fetchone() or (0,)
            return others == 0

        if not wait_until(is_free, _CLOSING_SECONDS):
            raise StackError(
                f"{others} connections to {self._url} are open: stop every instance of "
                f"{self._history.service} first."
            )

    def replace(self, staged: Path) -> Path:
        aside = self._dump(
            self._backups / f"{self._history.service}-replaced-{time_stamp()}.dump",
            is_checked=False,
        )
        options = ("--clean", "--if-exists", "--single-transaction", "--exit-on-error")
        owners = ("--no-owner", "--no-privileges")
        self._run("pg_restore", *options, *owners, f"--dbname={self._url}", str(staged))
        with self._connect() as connection:
            for name in sorted(self._tables - self._names(staged)):
                connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(name)))
        return aside

    def _dump(self, target: Path, *, is_checked: bool = True) -> Path:
        with written_whole(target) as part:
            self._run("pg_dump", "--format=custom", f"--file={part}", self._url)
            if is_checked:
                self._check(part)
        return target

    def _check(self, backup: Path) -> None:
        """A dump has no checksum: it is sound when all of it can be unpacked."""
        self._run("pg_restore", f"--file={os.devnull}", str(backup))
        check_version(backup, self._history, self._find_version(backup))

    def _find_version(self, backup: Path) -> int:
        names = self._names(backup)
        if "schema_version" not in names:
            if names and (self._history.saga_rows.name not in names or names - self._tables):
                raise self._foreign(backup, f"tables {', '.join(sorted(names)[:5])}")
            return FIRST if names else NEW
        rows = self._run(
            "pg_restore", "--data-only", "--table=schema_version", "--file=-", str(backup)
        )
        [(service, version)] = _VERSION.findall(rows)
        if service != self._history.service:
            raise self._foreign(backup, service)
        return int(version)

    def _names(self, backup: Path) -> set[str]:
        """The names of the tables in a dump."""
        return set(_TABLE.findall(self._run("pg_restore", "--list", str(backup))))

    def _foreign(self, backup: Path, what: str) -> StackError:
        return StackError(f"{backup} is not of the {self._history.service} service ({what}).")

    def _connect(self) -> psycopg.Connection[Any]:
        try:
            return psycopg.connect(self._url, password=self._password or None)
        except psycopg.OperationalError as error:
            raise StackError(f"{self._url} does not answer: {error}".strip()) from error

    def _run(self, name: str, *arguments: str) -> str:
        """The output of one of PostgreSQL's programs. Raises StackError with its error."""
        found = program(name)
        if found is None:
            raise StackError(f"{name} is not installed. Run: make postgres")
        environment = os.environ | ({"PGPASSWORD": self._password} if self._password else {})
        done = subprocess.run(
            [found, *arguments], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            first = next(iter(done.stderr.strip().splitlines()), f"ended with {done.returncode}")
            raise StackError(f"{first} ({' '.join(arguments[-1:])})")
        return done.stdout
