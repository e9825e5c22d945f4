"""Become one part of the stack: `python -m infra.stack.launch order`, run by the supervisor.

It composes the environment that the part needs and then replaces itself by the part's program, so
that the process id stays. A service receives its own broker password and database address only.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from infra.stack import config, folder, litestream, passwords, pids, supervision
from infra.stack.config import BROKERS, ROOT, SERVICES, SIMULATORS, Stack, StackError

# Clients wait for the order service, so the other services yield the cores to it (docs/
# performance.md, "What was tried").
_NICENESS_BEHIND = 5
_NICENESS_OF_SIGN_IN = 10
"""A flood of sign-ins, each of which costs 20 ms, leaves the cores to the sagas."""

# supervisord closes every descriptor from 5 up when it starts, so its lock has to stand below.
_SUPERVISOR_LOCK = 3


def command(stack: Stack, part: str) -> list[str]:
    """The part's program and its arguments."""
    if part == pids.SUPERVISOR:
        configuration = supervision.configuration(stack).name
        program = str(ROOT / "infra" / "stack" / "supervisor.py")
        return [sys.executable, "-P", program, "-c", configuration]
    if part in BROKERS:
        return _nats(stack, part)
    if part == "redis":
        return _redis(stack)
    if part == litestream.PART:
        return litestream.command(stack, os.environ)
    if part in SIMULATORS:
        return [sys.executable, "-m", f"infra.simulators.{part}"]
    return [sys.executable, "-m", part]


def environment(stack: Stack, part: str, inherited: Mapping[str, str]) -> dict[str, str]:
    """The part's environment variables."""
    if part == pids.SUPERVISOR:
        return _supervisor_environment(stack, inherited)
    secret = passwords.load(stack.state_dir)
    plain = {name: value for name, value in inherited.items() if not _withheld(name)}
    if part in BROKERS:
        # Quoted, because the broker reads a bare 2m as two million.
        sync = f'"{inherited.get("NATS_SYNC_INTERVAL") or "2m"}"'
        secrets = {passwords.variable(user): word for user, word in secret.items()}
        return plain | secrets | _cluster_environment(stack, part) | {"NATS_SYNC_INTERVAL": sync}
    if part in ("redis", litestream.PART):
        return plain
    if part in SIMULATORS:
        port = str(stack.ports[part])
        return plain | {"STATE_DIR": str(stack.state_dir), config.variable(part): port}
    return plain | _service_environment(stack, part, secret[part], inherited)


def _service_environment(
    stack: Stack, service: str, password: str, inherited: Mapping[str, str]
) -> dict[str, str]:
    database = f"{service.upper()}_DATABASE_URL"
    url = stack.database_url(service, inherited)
    if stack.copies_continuously and not inherited.get(database):
        url += litestream.CHECKPOINTED_ELSEWHERE
    values = {config.variable(name): str(port) for name, port in stack.ports.items()}
    values |= {
        "STATE_DIR": str(stack.state_dir),
        "NATS_URL": stack.nats_url(service, password),
        "NATS_REPLICAS": str(stack.replicas),
        "NATS_STREAM_BYTES": str(stack.stream_bytes),
        "PYTHONUNBUFFERED": "1",
        "DRAIN_SECONDS": inherited.get("DRAIN_SECONDS") or "0",  # no balancer is in front of it
        database: url,
    }
    if stack.auth:
        values |= {"AUTH": "on", "OPS_TOKEN": passwords.ops_token(stack, inherited) or ""}
    if config.recovery_marker(stack, service).exists():
        values["QUARANTINE"] = "1"
    if service == "payment":
        values["PAYMENT_GATEWAY_URL"] = stack.gateway_url
    if service == "dataplatform":
        values["DATA_PLATFORM_URL"] = stack.platform_url
    if stack.redis_url:
        values["REDIS_URL"] = stack.redis_url
    return values


def notice_lost_database(stack: Stack, service: str, inherited: Mapping[str, str]) -> None:
    """Start a service that lost its database in recovery mode.

    An empty database is the oldest of all backups: a service that worked on it at once would
    decide again, and perhaps otherwise, what it has published.
    """
    file = config.database_file(stack, service)
    is_elsewhere = bool(inherited.get(f"{service.upper()}_DATABASE_URL"))
    if is_elsewhere or file.exists() or not config.seeded_marker(stack, service).exists():
        return
    file.parent.mkdir(exist_ok=True, mode=0o700)  # the folder may be gone too
    config.recovery_marker(stack, service).touch()
    print(
        f"{service} had a database, and {file} is missing: it starts with an empty one in recovery "
        f"mode. Put a backup back (make restore SERVICE={service} FROM=...), or end recovery mode "
        f"when make audit is clean (make release SERVICE={service}).",
        flush=True,
    )


def _supervisor_environment(stack: Stack, inherited: Mapping[str, str]) -> dict[str, str]:
    plain = {
        name: value for name, value in inherited.items() if not name.startswith("NATS_PASSWORD")
    }
    return plain | {
        "STATE_DIR": str(stack.state_dir),
        "STACK_ROOT": str(ROOT),
        "STACK_PYTHON": sys.executable,
        "STACK_SOCKET": str(stack.socket),
    }


def _withheld(name: str) -> bool:
    """True for other parts' secrets, variables of supervisor and make, and those set here."""
    others = {f"{service.upper()}_DATABASE_URL" for service in SERVICES}
    not_passed_on = ("NATS_PASSWORD", "STACK_", "SUPERVISOR_", "MAKE", "MFLAGS")
    others |= {"NATS_URL", "REDIS_URL", "PAYMENT_GATEWAY_URL", "DATA_PLATFORM_URL"}
    others |= {"NATS_CREDS", "NATS_NKEY", "NATS_CA", "NATS_CERT", "NATS_KEY"}
    return name in others or name.startswith(not_passed_on)


def _nats(stack: Stack, part: str) -> list[str]:
    program = config.program("nats-server")
    if program is None:
        raise StackError("nats-server is not installed. Run: make install")
    is_cluster = stack.cluster > 1
    conf = ROOT / "infra" / ("nats-cluster.conf" if is_cluster else "nats.conf")
    files = ["-c", str(conf), "-sd", str(folder.broker_store(stack, part))]
    ports = ["-p", str(stack.ports[part]), "-m", str(stack.ports[f"{part}_monitor"])]
    return [program, *files, *ports, *(["-n", part] if is_cluster else [])]


def _cluster_environment(stack: Stack, part: str) -> dict[str, str]:
    """What infra/nats-cluster.conf reads; nothing for a broker of one server."""
    if stack.cluster == 1:
        return {}
    password = passwords.load(stack.state_dir)["node"]
    routes = {
        f"NATS_ROUTE_{number}": f"nats://node:{password}@127.0.0.1:{stack.ports[f'{each}_cluster']}"
        for number, each in enumerate(stack.brokers, 1)
    }
    return routes | {"NATS_CLUSTER_PORT": str(stack.ports[f"{part}_cluster"])}


def _redis(stack: Stack) -> list[str]:
    if stack.redis_server is None:
        raise StackError("redis-server was not found when the stack started. Run: make install up")
    # The databases can restore all that Redis holds, so nothing is saved.
    place = ["--bind", "127.0.0.1", "--port", str(stack.ports["redis"])]
    memory = ["--save", "", "--appendonly", "no", "--maxmemory", "256mb"]
    return [stack.redis_server, *place, "--dir", str(stack.state_dir / "redis"), *memory]


def main(part: str) -> None:
    state_dir = config.state_dir()
    stack = config.recorded(state_dir)
    if stack is None:
        raise StackError(f"No stack was started on {state_dir}. Run: make up")
    if part in SERVICES:
        notice_lost_database(stack, part, os.environ)
    arguments, variables = command(stack, part), environment(stack, part, os.environ)
    descriptor = pids.claim(state_dir, part)
    if part == pids.SUPERVISOR and descriptor != _SUPERVISOR_LOCK:
        os.dup2(descriptor, _SUPERVISOR_LOCK, inheritable=True)
        os.close(descriptor)
    os.chdir(stack.state_dir if part == pids.SUPERVISOR else ROOT)
    if part in SERVICES and part != "order":
        os.nice(_NICENESS_OF_SIGN_IN if part == "user" else _NICENESS_BEHIND)
    os.execve(arguments[0], arguments, variables)  # noqa: S606  the part takes this process's id


if __name__ == "__main__":
    # Checked, so that a wrong word in the supervisor's file does not look like a crash.
    if len(sys.argv) != 2 or sys.argv[1] not in (*config.PARTS, pids.SUPERVISOR):
        sys.exit(f"usage: {Path(sys.argv[0]).name} {{{'|'.join(config.PARTS)}}}")
    try:
        main(sys.argv[1])
    except (StackError, pids.AlreadyRunning) as problem:
        sys.exit(f"{sys.argv[1]}: {problem}")
