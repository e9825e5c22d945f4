"""The sockets that a service listens on."""

import errno
import socket

from saga.errors import ConfigurationError


def bound(host: str, port: int, port_name: str) -> list[socket.socket]:
    """A socket for each address that the host has; the server begins to listen later.

    Raises ConfigurationError that names the variable at fault.
    """
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            sockets.append(socket.socket(family, kind, protocol))
            _bind(sockets[-1], address)
    except OSError as error:
        for each in sockets:
            each.close()
        if isinstance(error, PermissionError) or error.errno == errno.EADDRINUSE:
            raise ConfigurationError(f"{port_name}={port}: {error.strerror}") from error
        raise ConfigurationError(
            f"HOST={host}: use an address of this machine ({error.strerror})"
        ) from error
    return sockets


def _bind(opened: socket.socket, address: tuple[object, ...]) -> None:
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if opened.family == socket.AF_INET6:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    opened.bind(address)
