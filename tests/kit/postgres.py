"""A PostgreSQL server for tests, on a port and in a folder of its own."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg

from ops.backup.postgres import program
from tests.kit.client import free_port

__all__ = ["create_database", "program", "running_postgres"]


@contextmanager
def running_postgres() -> Iterator[str]:
    """Run a server. Yields the URL of a role that may create databases."""
    # Not in pytest's folder: only its owner may enter that, and the server never runs as root.
    with TemporaryDirectory(prefix="shop-postgres-") as folder:
        yield from _server(Path(folder), _unprivileged(Path(folder)))


def _server(folder: Path, user: str | None) -> Iterator[str]:
    initdb, postgres = program("initdb"), program("postgres")
    assert initdb
    assert postgres
    data, port = folder / "data", free_port()
    make = [initdb, "-D", str(data), "-U", "shop", "-A", "trust", "--no-sync"]
    made = subprocess.run(make, user=user, capture_output=True, text=True, cwd=folder, check=False)
    assert made.returncode == 0, made.stderr
    serve = [postgres, "-D", str(data), "-p", str(port), "-k", str(folder), "-h", "127.0.0.1"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(serve, user=user, stdout=log, stderr=log, cwd=folder)
    try:
        url = f"postgresql://shop@127.0.0.1:{port}/postgres"
        _wait(server, url)
        yield url
    finally:
        server.send_signal(signal.SIGINT)  # a fast shutdown: connections are closed, data is safe
        server.wait(30)


def create_database(server_url: str, name: str) -> str:
    """A new database. Returns its URL as a service takes it."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server_url.replace("postgresql://", "postgresql+psycopg://").replace(
        "/postgres", f"/{name}"
    )


def _unprivileged(folder: Path) -> str | None:
    """The user of PostgreSQL's package, because PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return None
    shutil.chown(folder, "postgres")
    return "postgres"


def _wait(server: "subprocess.Popen[bytes]", url: str) -> None:
    while True:
        assert server.poll() is None, "PostgreSQL ended while it started"
        try:
            psycopg.connect(url, connect_timeout=1).close()
        except psycopg.OperationalError:
            continue
        return
