"""The stack's parts, their ports and their folder.

`up` reads the environment and writes the result to STATE_DIR/stack.json. Every other command reads
that file, so that it finds the running stack and not the one that the shell's variables describe.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import msgspec

from events.participants import PARTICIPANTS

ROOT = Path(__file__).resolve().parents[2]
SERVICES = tuple(PARTICIPANTS)
SIMULATORS = ("gateway", "platform")
BROKERS = ("nats", "nats2", "nats3")
"""The servers of a cluster. A stack without one runs the first."""
PARTS = (*BROKERS, "redis", *SIMULATORS, *SERVICES, "litestream")
NATS_USERS = (*SERVICES, "admin", "observer", "sys", "node")
"""`node`: the servers of a cluster, to each other."""

DEFAULT_PORTS = PARTICIPANTS | {
    "nats": 4222,
    "nats_monitor": 8222,
    "redis": 6379,
    "gateway": 8190,
    "platform": 8191,
}
CLUSTER_PORTS = {
    "nats2": 4223,
    "nats2_monitor": 8223,
    "nats3": 4224,
    "nats3_monitor": 8224,
    "nats_cluster": 6222,
    "nats2_cluster": 6223,
    "nats3_cluster": 6224,
}
"""Beside the others, with CLUSTER=3."""

# Linux allows 108 bytes and macOS 104; supervisord first binds a longer, temporary name.
LONGEST_SOCKET_PATH_BYTES = 88

MARKER = ".shop-saga-state"


DEFAULT_STREAM_BYTES = 7_000_000_000
"""Below the broker's max_file (infra/nats.conf), which is for all streams together."""


class StackError(Exception):
    """An error that a person can correct. Its text is a sentence with the next step."""


class Stack(msgspec.Struct, frozen=True, rename="camel"):
    """One stack: the folder of its state, and the addresses of its parts."""

    state_dir: Path
    socket: Path
    ports: dict[str, int]
    redis_server: str | None
    """The program of the part redis. None: not installed, or REDIS_URL names another server."""
    redis_url: str | None
    gateway_url: str
    """The address for payments by card."""
    simulates_gateway: bool
    """False: PAYMENT_GATEWAY_URL names another gateway than the simulator."""
    platform_url: str
    """The address for completed orders."""
    simulates_platform: bool
    """False: DATA_PLATFORM_URL names another platform than the simulator."""
    copies_continuously: bool = False
    """LITESTREAM=1: the part litestream copies the databases."""
    cluster: int = 1
    """How many servers the broker has: 1 or 3."""
    replicas: int = 1
    """Copies of each stream."""
    stream_bytes: int = DEFAULT_STREAM_BYTES
    """The limit of the stream of all orders."""
    host: str = "127.0.0.1"
    """What services and simulators listen on."""
    settings: dict[str, str] = {}
    """The other environment variables that were set when it was started, by their names."""

    @property
    def auth(self) -> bool:
        """Do requests have to be signed in?"""
        return self.settings.get("AUTH") == "on"

    def port(self, part: str) -> int:
        """Raises StackError for a service that was added since the stack was started."""
        if part not in self.ports:
            raise StackError(f"{part} is new, and does not run yet. Run: make down up")
        return self.ports[part]

    def url(self, service: str) -> str:
        """Raises StackError for a service that was added since the stack was started."""
        return f"http://{in_url(reachable(self.host))}:{self.port(service)}"

    def nats_url(self, user: str = "", password: str = "") -> str:
        """All servers of the broker, separated by commas; for a user, or without one."""
        credentials = f"{user}:{password}@" if user else ""
        return ",".join(
            f"nats://{credentials}127.0.0.1:{self.ports[each]}" for each in self.brokers
        )

    @property
    def brokers(self) -> tuple[str, ...]:
        return BROKERS[: self.cluster]

    def database_url(self, service: str, environment: Mapping[str, str]) -> str:
        """As these variables name it, else as it was when the stack was started."""
        name = f"{service.upper()}_DATABASE_URL"
        own = self.state_dir / "db" / f"{service}.db"
        default = f"sqlite+aiosqlite:///{quote(str(own))}"
        return environment.get(name) or self.settings.get(name) or default

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that this stack runs."""
        left_out = {
            "redis": self.redis_server is None,
            "gateway": not self.simulates_gateway,
            "platform": not self.simulates_platform,
            "litestream": not self.copies_continuously,
        } | {broker: broker not in self.brokers for broker in BROKERS}
        return tuple(part for part in PARTS if not left_out.get(part))

    @property
    def own_ports(self) -> dict[str, int]:
        """The ports that this stack opens itself."""
        own = (
            *self.parts,
            *(f"{each}_{use}" for each in BROKERS for use in ("monitor", "cluster")),
        )
        return {name: port for name, port in self.ports.items() if name in own}

    def log(self, part: str) -> Path:
        return self.state_dir / "logs" / f"{part}.log"


def state_dir(environment: Mapping[str, str] = os.environ) -> Path:
    return Path(os.path.abspath(ROOT / (environment.get("STATE_DIR") or ".run")))  # noqa: PTH100


def from_environment(environment: Mapping[str, str] = os.environ) -> Stack:
    """The stack that these variables describe."""
    folder = state_dir(environment)
    _refuse_unusable(folder, "STATE_DIR")
    _refuse_unusable(ROOT, "The path of the checkout")
    cluster = _cluster(environment)
    defaults = DEFAULT_PORTS | (CLUSTER_PORTS if cluster > 1 else {})
    ports = {name: _port(name, default, environment) for name, default in defaults.items()}
    twice = {port for port in ports.values() if list(ports.values()).count(port) > 1}
    if twice:
        names = [variable(name) for name, port in ports.items() if port in twice]
        raise StackError(f"{' and '.join(names)} are the same port. Give each one of its own.")
    elsewhere = environment.get("REDIS_URL")
    gateway = environment.get("PAYMENT_GATEWAY_URL")
    platform = environment.get("DATA_PLATFORM_URL")
    host = environment.get("HOST") or "127.0.0.1"
    near = in_url(reachable(host))
    redis_server = None if elsewhere else shutil.which("redis-server")
    own_url = f"redis://127.0.0.1:{ports['redis']}/0" if redis_server else None
    return Stack(
        state_dir=folder,
        socket=_socket(folder),
        ports=ports,
        redis_server=redis_server,
        redis_url=elsewhere or own_url,
        gateway_url=gateway or f"http://{near}:{ports['gateway']}",
        simulates_gateway=not gateway,
        platform_url=platform or f"http://{near}:{ports['platform']}/v1/orders",
        simulates_platform=not platform,
        copies_continuously=environment.get("LITESTREAM") == "1",
        cluster=cluster,
        replicas=_number("NATS_REPLICAS", (1, 2, 3, 4, 5), cluster, environment),
        stream_bytes=stream_bytes(environment) or DEFAULT_STREAM_BYTES,
        host=host,
    )


def recorded(folder: Path) -> Stack | None:
    """The stack that was last started on this folder, or None after `down`."""
    try:
        content = (folder / "stack.json").read_bytes()
        return msgspec.json.decode(content, type=Stack, dec_hook=_path)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise StackError(
            f"{folder / 'stack.json'} can't be read ({error}). "
            "Stop what runs by its ids in pids/ beside it, delete the file, then run: make up"
        ) from error


def record(stack: Stack) -> None:
    content = msgspec.json.encode(stack, enc_hook=str)
    file = stack.state_dir / "stack.json"
    file.touch(mode=0o600)  # a database's URL may hold a password
    file.write_bytes(msgspec.json.format(content, indent=2))


def forget(stack: Stack) -> None:
    """Undo `record`, and remove the socket's folder when it had to be outside STATE_DIR."""
    (stack.state_dir / "stack.json").unlink(missing_ok=True)
    stack.socket.unlink(missing_ok=True)
    if stack.socket.parent != stack.state_dir and stack.socket.parent.is_dir():
        stack.socket.parent.rmdir()


def recovery_marker(stack: Stack, service: str) -> Path:
    """The file that keeps a service in recovery mode while it exists."""
    return stack.state_dir / "db" / f"{service}.quarantine"


def database_file(stack: Stack, service: str) -> Path:
    """The service's database, unless a variable names another one."""
    return stack.state_dir / "db" / f"{service}.db"


def seeded_marker(stack: Stack, service: str) -> Path:
    """The file that says that the service's database has had its first data."""
    return stack.state_dir / "seeded" / service


def reachable(host: str) -> str:
    """An address at which a server that listens on this one can be called from this machine."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound


def in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def variable(port_name: str) -> str:
    return f"{port_name.upper()}_PORT"


def program(name: str) -> str | None:
    """A program of this Python's environment, else one on PATH."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name)


def _path(kind: type, value: object) -> object:
    if kind is not Path:
        raise NotImplementedError(kind)
    return Path(str(value))


def stream_bytes(environment: Mapping[str, str] = os.environ) -> int:
    """What NATS_STREAM_BYTES says, or 0."""
    text = environment.get("NATS_STREAM_BYTES") or "0"
    if not text.isdecimal():
        raise StackError(f"NATS_STREAM_BYTES={text}: use a whole number.")
    return int(text)


def _cluster(environment: Mapping[str, str]) -> int:
    return _number("CLUSTER", (1, len(BROKERS)), 1, environment)


def _number(
    name: str, allowed: tuple[int, ...], default: int, environment: Mapping[str, str]
) -> int:
    text = environment.get(name) or str(default)
    if text not in map(str, allowed):
        raise StackError(f"{name}={text}: use {' or '.join(map(str, allowed))}.")
    return int(text)


def _port(name: str, default: int, environment: Mapping[str, str]) -> int:
    text = environment.get(variable(name)) or str(default)
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise StackError(f"{variable(name)} must be a port from 1 to 65535, not {text!r}.")
    return int(text)


def _refuse_unusable(path: Path, named: str) -> None:
    """Raise StackError for a path that not every program of the stack can be given."""
    text = str(path)
    if not text.isprintable() or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise StackError(f"{named} may have no control character and has to be UTF-8: {text!r}")


def _socket(folder: Path) -> Path:
    socket = folder / "supervisor.sock"
    if len(os.fsencode(socket)) <= LONGEST_SOCKET_PATH_BYTES:
        return socket
    return Path(tempfile.gettempdir()) / f"shop-saga-{os.getpid()}" / "supervisor.sock"
