"""How a client connects to the broker: one function for services, operators' tools and tests.

nats-py tries the servers that it learns from a cluster with the credentials of its options, never
with those in a URL. So user and password are taken out of the URLs. It also takes several servers
as a list only.
"""

import ssl
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import nkeys

from chassis.settings import BrokerSettings
from saga.errors import ConfigurationError

_SCHEMES = ("nats", "tls", "ws", "wss")
_ENCRYPTED = ("tls", "wss")
_CREDS_PARTS = ("BEGIN NATS USER JWT", "BEGIN USER NKEY SEED")


def connect_options(settings: BrokerSettings) -> dict[str, Any]:
    """What nats-py's `connect` needs: the servers, who the client is, and TLS.

    Raises ConfigurationError that names the variable at fault, and no secret.
    """
    servers = [_server(text.strip()) for text in settings.nats_url.split(",") if text.strip()]
    if not servers:
        raise ConfigurationError("NATS_URL names no server: use nats://host:port")
    options: dict[str, Any] = {"servers": list(map(_without_credentials, servers))}
    options |= _identity(servers, settings)
    is_encrypted = any(server.scheme in _ENCRYPTED for server in servers)
    if is_encrypted or settings.nats_ca or settings.nats_cert or settings.nats_key:
        options["tls"] = _tls(settings)
    return options


def _server(text: str) -> SplitResult:
    try:
        server = urlsplit(text if "://" in text else f"nats://{text}")
        if server.scheme in _SCHEMES and server.hostname and server.port != 0:
            return server
    except ValueError:  # of the port, or of an IPv6 address
        pass
    raise ConfigurationError(
        f"NATS_URL has {text.rpartition('@')[2]!r}: use nats://host:port or tls://host:port, "
        "several by commas"
    )


def _without_credentials(server: SplitResult) -> str:
    return f"{server.scheme}://{server.netloc.rpartition('@')[2]}{server.path}"


def _identity(servers: list[SplitResult], settings: BrokerSettings) -> dict[str, str]:
    """Who the client is: a user with a password, a token, a credentials file or an nkey."""
    found = {(each.username, each.password) for each in servers if each.username is not None}
    if len(found) > 1:
        raise ConfigurationError("NATS_URL has several users: give all servers the same one")
    ways = {
        "NATS_URL": bool(found),
        "NATS_CREDS": settings.nats_creds,
        "NATS_NKEY": settings.nats_nkey,
    }
    given = [name for name, value in ways.items() if value]
    if len(given) > 1:
        raise ConfigurationError(f"{' and '.join(given)} name a user each: set one of them")
    if settings.nats_creds:
        return {"user_credentials": _checked_creds(settings.nats_creds)}
    if settings.nats_nkey:
        return {"nkeys_seed": _checked_seed(settings.nats_nkey)}
    if not found:
        return {}
    [(user, password)] = found
    if password is None:
        return {"token": unquote(user or "")}
    return {"user": unquote(user or ""), "password": unquote(password)}


def _checked_creds(path: str) -> str:
    """nats-py never returns from a file without these parts."""
    text = _read("NATS_CREDS", path)
    missing = [part for part in _CREDS_PARTS if part not in text]
    if missing:
        raise ConfigurationError(f"NATS_CREDS={path}: the file has no line with {missing[0]!r}")
    return path


def _checked_seed(path: str) -> str:
    seed = _read("NATS_NKEY", path).strip()
    try:
        nkeys.from_seed(bytearray(seed.encode())).wipe()
    except (nkeys.NkeysError, ValueError) as error:
        raise ConfigurationError(f"NATS_NKEY={path}: the file has no seed of an nkey") from error
    return path


def _read(name: str, path: str) -> str:
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{name}={path}: the file can't be read ({error})") from error


def _tls(settings: BrokerSettings) -> ssl.SSLContext:
    certificate, key = settings.nats_cert, settings.nats_key
    if key and not certificate:
        raise ConfigurationError("NATS_KEY is set without NATS_CERT: set both, or neither")
    try:
        context = ssl.create_default_context(cafile=settings.nats_ca)
    except OSError as error:
        raise ConfigurationError(f"NATS_CA={settings.nats_ca}: {error}") from error
    if certificate:
        try:
            # Without a password OpenSSL would ask for one at the terminal.
            context.load_cert_chain(certificate, key, password="")
        except OSError as error:
            files = (
                f"NATS_CERT={certificate}, NATS_KEY={key}" if key else f"NATS_CERT={certificate}"
            )
            raise ConfigurationError(f"{files}: {error}") from error
    return context
