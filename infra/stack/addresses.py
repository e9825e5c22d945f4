"""Addresses of the running stack: printed for people by `make up`, for scripts by `make env`."""

import os
import socket

from infra.stack import passwords
from infra.stack.config import SERVICES, Stack, StackError, reachable, variable

_SHOWN_USERS = ("observer", "admin", "sys")


def values(stack: Stack) -> dict[str, str]:
    """The addresses as environment variables."""
    secret = passwords.load(stack.state_dir)
    found = {f"{name.upper()}_URL": stack.url(name) for name in SERVICES}
    found |= {
        f"NATS_URL_{user.upper()}": stack.nats_url(user, secret[user]) for user in _SHOWN_USERS
    }
    if stack.redis_url:
        found["REDIS_URL"] = stack.redis_url
    found["GATEWAY_URL"] = stack.gateway_url
    found["PLATFORM_URL"] = (
        stack.url("platform") if stack.simulates_platform else stack.platform_url
    )
    if stack.auth:
        token = passwords.ops_token(stack, os.environ) or ""
        found |= passwords.of_sign_in(stack.state_dir) | {passwords.OPS_TOKEN: token}
    found["STATE_DIR"] = str(stack.state_dir)
    return found


def refuse_taken_ports(stack: Stack) -> None:
    """Raise StackError when another program uses a port of the stack."""
    _refuse_foreign_host(stack.host)
    taken = [name for name, port in stack.own_ports.items() if listens(port, stack.host)]
    if not taken:
        return
    lines = [
        f"Port {stack.ports[name]} is taken. Stop what uses it, or choose another: "
        f"make up {variable(name)}={_another(stack.ports[name])}"
        for name in taken
    ]
    raise StackError("\n".join([*lines, "Nothing was started."]))


def _refuse_foreign_host(host: str) -> None:
    """Raise StackError for an address that is not this machine's."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as holder:
            holder.bind(address)
    except OSError as error:
        raise StackError(
            f"HOST={host}: use an address of this machine ({error.strerror}). Nothing was started."
        ) from error


def _another(port: int) -> int:
    return port + 10000 if port + 10000 < 65536 else port - 10000


def listens(port: int, host: str = "127.0.0.1") -> bool:
    """True when a program accepts connections on the port of this machine's, or holds it."""
    return any(_is_taken(address, port) for address in {"127.0.0.1", reachable(host)})


def _is_taken(host: str, port: int) -> bool:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family) as caller:
        caller.settimeout(1.0)
        if caller.connect_ex(address) == 0:
            return True
    with socket.socket(family) as holder:
        # Without this, connections that are still closing would count as taken.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            holder.bind(address)
        except OSError:
            return True
    return False
