"""Starting the peers, each in a folder and on ports of its own, and stopping them by their ids."""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from bench.peers.target import PeerTarget
from tests.kit.postgres import running_postgres
from tests.kit.stack import ROOT, free_port

PROGRAMS = ROOT / ".bench"
PYTHON = PROGRAMS / "venv" / "bin" / "python"
RESTATE = PROGRAMS / "node_modules" / ".bin" / "restate-server"
START_SECONDS = 60.0
STOP_SECONDS = 20.0


class NotInstalled(Exception):
    """A peer that this machine does not have."""


@contextmanager
def dbos_on_sqlite() -> Iterator[PeerTarget]:
    with tempfile.TemporaryDirectory(prefix="dbos-") as folder, _dbos(Path(folder), {}) as target:
        yield target


@contextmanager
def dbos_on_postgres() -> Iterator[PeerTarget]:
    with (
        running_postgres() as url,
        tempfile.TemporaryDirectory(prefix="dbos-") as folder,
        _dbos(Path(folder), {"POSTGRES_URL": url}) as target,
    ):
        yield target


@contextmanager
def restate_services() -> Iterator[PeerTarget]:
    """Four services, each in a process of its own."""
    with _restate("/Order/place", ("Order", "Coupon", "Product", "Payment")) as target:
        yield target


@contextmanager
def restate_alone() -> Iterator[PeerTarget]:
    """One handler in one process."""
    with _restate("/Order/place_alone", ("Order",)) as target:
        yield target


@contextmanager
def _dbos(folder: Path, settings: dict[str, str]) -> Iterator[PeerTarget]:
    port = free_port()
    environment = {"STATE_DIR": str(folder), "PORT": str(port)} | settings
    with _running(PYTHON, ["-m", "bench.peers.dbos_saga"], folder, environment):
        _wait(f"http://127.0.0.1:{port}/docs")
        yield PeerTarget(f"http://127.0.0.1:{port}", "/orders")


@contextmanager
def _restate(path: str, services: Sequence[str]) -> Iterator[PeerTarget]:
    if not RESTATE.exists():
        raise NotInstalled("Restate's server is not installed: it needs npm")
    with tempfile.TemporaryDirectory(prefix="restate-") as name, ExitStack() as stack:
        folder = Path(name)
        ingress, admin, fabric = (free_port() for _ in range(3))
        environment = {
            "RESTATE_BASE_DIR": name,
            "RESTATE_LISTEN_MODE": "tcp",
            "RESTATE_BIND_PORT": str(fabric),
            "RESTATE_INGRESS__BIND_PORT": str(ingress),
            "RESTATE_ADMIN__BIND_PORT": str(admin),
            "RESTATE_DISABLE_TELEMETRY": "true",
            "RESTATE_LOG_FILTER": "warn",
        }
        stack.enter_context(_running(RESTATE, [], folder, environment))
        _wait(f"http://127.0.0.1:{admin}/health")
        for service in services:
            port = free_port()
            serve = ["-m", "hypercorn", "-b", f"127.0.0.1:{port}", "bench.peers.restate_saga:app"]
            own = {"STATE_DIR": name, "SERVICES": service}
            stack.enter_context(_running(PYTHON, serve, folder, own, name=service))
            _register(f"http://127.0.0.1:{admin}/deployments", f"http://127.0.0.1:{port}")
        yield PeerTarget(f"http://127.0.0.1:{ingress}", path)


@contextmanager
def _running(
    program: Path,
    words: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    name: str = "server",
) -> Iterator[None]:
    if not program.exists():
        raise NotInstalled(f"{program} is not installed: sh bench/peers/install.sh")
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [str(program), *words],
            cwd=ROOT,
            env=os.environ | environment,
            stdout=log,
            stderr=log,
        )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(url: str) -> None:
    """Until the server answers. Raises TimeoutError."""
    ends_at = time.monotonic() + START_SECONDS
    while time.monotonic() < ends_at:
        try:
            if httpx.get(url).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise TimeoutError(f"{url} did not answer within {START_SECONDS:.0f} s")


def _register(admin: str, service: str) -> None:
    """Tell Restate of a service, as soon as that answers. Raises TimeoutError."""
    ends_at = time.monotonic() + START_SECONDS
    while time.monotonic() < ends_at:
        if httpx.post(admin, json={"uri": service}, timeout=START_SECONDS).is_success:
            return
        time.sleep(0.1)
    raise TimeoutError(f"Restate could not discover {service}")
