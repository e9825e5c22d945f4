"""Settings: environment variables, each declared beside the code that it is for.

A service's own settings are a subclass in its `settings.py`. The annotation of a field names the
variable, its default, its bounds and its purpose; `docs/configuration.md` is written from them.
"""

import logging
import os
import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_type_hints
from urllib.parse import quote

import msgspec

from saga.errors import ConfigurationError

S = TypeVar("S", bound="Settings")


class Variable:
    """An environment variable. `{SERVICE}` in its name is the service's: `HOTEL_PORT`.

    `shown_default` is what the document says where the default depends on something.
    """

    def __init__(self, name: str, purpose: str, *, shown_default: str = "none") -> None:
        self.name = name
        self.purpose = purpose
        self.shown_default = shown_default

    @property
    def bounds(self) -> str:
        """A sentence on the values that it takes, for the document; empty where it takes any."""
        return ""

    def of(self, service: str) -> str:
        return self.name.replace("{SERVICE}", service.upper())

    def read(self, name: str, env: Mapping[str, str]) -> Any:
        """The value. Raises ConfigurationError that names the variable and the bounds."""
        return env.get(name) or None


class Text(Variable):
    def __init__(self, name: str, default: str, purpose: str) -> None:
        super().__init__(name, purpose, shown_default=default)
        self._default = default

    def read(self, name: str, env: Mapping[str, str]) -> str:
        return env.get(name) or self._default


class Whole(Variable):
    """A whole number between two bounds."""

    def __init__(
        self, name: str, default: int, least: int, most: int, purpose: str, *, shown: str = ""
    ) -> None:
        super().__init__(name, purpose, shown_default=shown or str(default))
        self._default, self._least, self._most = default, least, most

    @property
    def bounds(self) -> str:
        return f"A whole number from {self._least} to {self._most}."

    def read(self, name: str, env: Mapping[str, str]) -> int:
        text = env.get(name) or str(self._default)
        if not text.isascii() or not text.isdigit() or not self._least <= int(text) <= self._most:
            bounds = f"from {self._least} to {self._most}"
            raise ConfigurationError(f"{name}={text}: use a whole number {bounds}")
        return int(text)


class Flag(Whole):
    """0 or 1."""

    bounds = ""

    def __init__(self, name: str, purpose: str) -> None:
        super().__init__(name, 0, 0, 1, purpose)


class Switch(Variable):
    """`on` or `off`. None where it is not set."""

    bounds = "on or off."

    def __init__(self, name: str, purpose: str, *, shown: str) -> None:
        super().__init__(name, purpose, shown_default=shown)

    def read(self, name: str, env: Mapping[str, str]) -> bool | None:
        text = env.get(name)
        if text not in (None, "", "on", "off"):
            raise ConfigurationError(f"{name}={text}: use on or off")
        return text == "on" if text else None


class Address(Variable):
    """The URL of another system. `is_base`: paths are added to it, so it ends without a slash."""

    def __init__(
        self, name: str, purpose: str, *schemes: str, is_base: bool = True, shown: str = "none"
    ) -> None:
        super().__init__(name, purpose, shown_default=shown)
        self._schemes, self._is_base = schemes, is_base

    def read(self, name: str, env: Mapping[str, str]) -> str | None:
        text = env.get(name)
        if text and text.partition("://")[0] not in self._schemes:
            known = " or ".join(f"{scheme}://" for scheme in self._schemes)
            raise ConfigurationError(f"{name}={text}: use an address that begins with {known}")
        return text.rstrip("/") if text and self._is_base else text or None


ANY_ORIGIN = "*"
_ORIGIN = re.compile(
    r"(?!http:.*:80$|https:.*:443$)https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:\d{1,5})?"
)
"""As a browser sends it: in lower case, without a path and without the scheme's own port."""


class Origins(Variable):
    """Origins of pages, as browsers name them, or `*`."""

    def read(self, name: str, env: Mapping[str, str]) -> tuple[str, ...]:
        found = tuple((env.get(name) or "").replace(",", " ").split())
        for each in found:
            if each != ANY_ORIGIN and not _ORIGIN.fullmatch(each):
                example = "such as https://example.com or http://localhost:3000"
                raise ConfigurationError(f"{name}: {each} is no origin; use one {example}")
        return found


class LogLevel(Text):
    def read(self, name: str, env: Mapping[str, str]) -> str:
        level = super().read(name, env).upper()
        if level not in logging.getLevelNamesMapping():
            raise ConfigurationError(f"{name}={level}: use DEBUG, INFO, WARNING or ERROR")
        return level


class DatabaseUrl(Variable):
    """The URL of a database as clouds hand it out, with the driver that is used here."""

    def read(self, name: str, env: Mapping[str, str]) -> str | None:
        scheme, rest, address = (env.get(name) or "").partition("://")
        drivers = {"postgresql": "+psycopg", "postgres": "ql+psycopg", "sqlite": "+aiosqlite"}
        return f"{scheme}{drivers.get(scheme, '')}{rest}{address}" or None


class BrokerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a client reaches the broker. The variables have the names that the NATS CLI knows."""

    nats_url: Annotated[
        str,
        Text(
            "NATS_URL",
            "nats://127.0.0.1:4222",
            "The broker's servers, separated by commas: `nats://user:password@host:port` or "
            "`tls://...`. One user for all, also for those that the cluster adds; special "
            "characters are percent-encoded. A word alone before the @ is a token.",
        ),
    ]
    nats_creds: Annotated[
        str | None,
        Variable("NATS_CREDS", "A credentials file (`.creds`: JWT and seed), in place of a user."),
    ] = None
    nats_nkey: Annotated[
        str | None,
        Variable("NATS_NKEY", "A file with an nkey's seed, in place of a user."),
    ] = None
    nats_ca: Annotated[
        str | None,
        Variable(
            "NATS_CA",
            "A file with the certificates of the authorities that the broker's certificate is "
            "checked against. It requires TLS, as `tls://` does.",
            shown_default="the system's",
        ),
    ] = None
    nats_cert: Annotated[
        str | None,
        Variable("NATS_CERT", "A file with the client's certificate, for a broker that asks."),
    ] = None
    nats_key: Annotated[
        str | None,
        Variable(
            "NATS_KEY",
            "A file with the key of the client's certificate, not encrypted.",
            shown_default="in `NATS_CERT`",
        ),
    ] = None


class Settings(BrokerSettings, frozen=True, kw_only=True):
    """What every service can be told. `instance` is the same again after a restart."""

    service: str
    host: Annotated[str, Text("HOST", "127.0.0.1", "The address that the HTTP server listens on.")]
    port: Annotated[
        int,
        Whole(
            "{SERVICE}_PORT",
            0,
            1,
            65_535,
            "The port that the HTTP server listens on.",
            shown="see below",
        ),
    ]
    instance: Annotated[
        str,
        Variable(
            "INSTANCE",
            "The name of the instance; keep it the same over restarts.",
            shown_default="service and port",
        ),
    ]
    database_url: Annotated[
        str,
        DatabaseUrl(
            "{SERVICE}_DATABASE_URL",
            "`sqlite:///...`, or `postgresql://...` with the encoding UTF-8.",
            shown_default="SQLite in `STATE_DIR/db`",
        ),
    ]
    nats_replicas: Annotated[
        int, Whole("NATS_REPLICAS", 1, 1, 5, "Copies of each stream in a cluster.")
    ]
    stream_max_bytes: Annotated[
        int,
        Whole(
            "NATS_STREAM_BYTES",
            0,
            0,
            2**50,
            "Bytes that the stream of all sagas may take; less than the broker's own limit. Near "
            "it none is begun: 503. 0: as the stream was created, by default without a "
            "limit. The local stack's default is 7000000000.",
        ),
    ]
    redis_url: Annotated[
        str | None,
        Address(
            "REDIS_URL",
            "Redis, for leases and cached reads. Without one, or while it is away, the "
            "databases do all that.",
            "redis",
            "rediss",
            "unix",
            shown="the local stack's",
        ),
    ]
    trusted_proxies: Annotated[
        str | None,
        Variable(
            "TRUSTED_PROXIES",
            "The addresses or networks of balancers, separated by commas, whose `X-Forwarded-For` "
            "names the client. Without it all clients behind a balancer have one address.",
        ),
    ] = None
    drain_seconds: Annotated[
        int,
        Whole(
            "DRAIN_SECONDS",
            5,
            0,
            300,
            "How long an instance that was told to stop (SIGTERM) still takes requests, while "
            "`/health/ready` answers 503: longer than a balancer needs to notice.",
            shown="5; the local stack's: 0",
        ),
    ]
    keep_alive_seconds: Annotated[
        int,
        Whole(
            "KEEP_ALIVE_SECONDS",
            90,
            1,
            3600,
            "How long an idle HTTP connection stays open: longer than the balancer keeps it (nginx "
            "and AWS 60, Google 600).",
        ),
    ]
    ops_token: Annotated[
        str | None,
        Variable("OPS_TOKEN", "Where set, operators' routes ask for it as a bearer token."),
    ]
    auth: Annotated[
        bool,
        Switch(
            "AUTH",
            "on: requests are signed in, by access tokens. off: all who can reach the service are "
            "trusted. An address that others can reach needs one of them.",
            shown="off on loopback",
        ),
    ]
    auth_issuer: Annotated[
        str, Text("AUTH_ISSUER", "saga", "The `iss` of access tokens, and their `aud` too.")
    ]
    auth_audience: Annotated[
        str | None,
        Variable("AUTH_AUDIENCE", "The `aud` of access tokens.", shown_default="`AUTH_ISSUER`"),
    ]
    auth_jwks_url: Annotated[
        str | None,
        Address(
            "AUTH_JWKS_URL",
            "The key set of an OpenID Connect provider, in place of the user service's keys.",
            "http",
            "https",
        ),
    ]
    cors_origins: Annotated[
        tuple[str, ...],
        Origins(
            "CORS_ORIGINS",
            "The origins of the pages that may call the service from a browser, separated by "
            "commas: `https://example.com,http://localhost:3000`. `*`: all pages, with AUTH=off.",
        ),
    ]
    behind_tls: Annotated[
        bool,
        Switch(
            "BEHIND_TLS",
            "on: browsers reach the service through TLS, which a proxy ends. Cookies are then "
            "Secure, and answers have Strict-Transport-Security.",
            shown="off",
        ),
    ]
    log_level: Annotated[
        str,
        LogLevel("LOG_LEVEL", "INFO", "DEBUG, INFO, WARNING or ERROR. Logs are JSON lines."),
    ]
    max_body_bytes: Annotated[
        int,
        Whole("MOST_BODY_BYTES", 64 * 1024, 1024, 16 * 1024**2, "A longer body gets 413."),
    ]
    mailbox_capacity: Annotated[
        int,
        Whole(
            "MAILBOX_CAPACITY",
            5_000,
            1,
            1_000_000,
            "Commands that may wait in an instance; beyond it 503 with Retry-After.",
        ),
    ]
    command_timeout_seconds: Annotated[
        int,
        Whole(
            "PATIENCE_SECONDS",
            5,
            1,
            60,
            "How long a command waits for the database before its client gets 503.",
        ),
    ]
    retention_seconds: Annotated[
        int,
        Whole(
            "RETENTION_SECONDS",
            8 * 24 * 3600,
            60,
            10 * 366 * 24 * 3600,
            "How long inbox, outbox and idempotency keys are kept; longer than the stream's week. "
            "Rows of unsettled sagas stay.",
        ),
    ]
    audit_log_days: Annotated[
        int,
        Whole(
            "AUDIT_LOG_DAYS",
            365,
            1,
            3660,
            "How long an entry of the audit log is kept, from when it is written; the database "
            "refuses to delete it earlier.",
        ),
    ]
    retransmit_after_seconds: Annotated[
        int,
        Whole(
            "REPEAT_AFTER_SECONDS",
            30,
            1,
            24 * 3600,
            "How long a row waits for an event before the service retransmits its last one.",
        ),
    ]
    recovery_mode: Annotated[
        bool,
        Flag(
            "QUARANTINE",
            "1: recovery mode, for a restored database. The service adopts what it had published, "
            "handles again what others have, takes no commands and publishes nothing.",
        ),
    ]


def variables(settings: type[BrokerSettings]) -> Iterator[tuple[str, Variable]]:
    """Each field that an environment variable sets, with the variable."""
    for field, hint in get_type_hints(settings, include_extras=True).items():
        for mark in get_args(hint)[1:]:
            if isinstance(mark, Variable):
                yield field, mark


def load(
    settings: type[S], service: str, port: int, environment: Mapping[str, str] | None = None
) -> S:
    """Read a service's settings. `port` is the default of its HTTP server.

    Raises ConfigurationError that names the variable at fault.
    """
    env = os.environ if environment is None else environment
    state = Path(env.get("STATE_DIR") or ".run").absolute()
    prefix = service.upper()
    with_port = {f"{prefix}_PORT": env.get(f"{prefix}_PORT") or str(port)}
    values = {
        field: variable.read(variable.of(service), {**env, **with_port})
        for field, variable in variables(settings)
    }
    values["recovery_mode"] = bool(values["recovery_mode"])
    values["auth"] = _auth(values["auth"], values["host"])
    values["behind_tls"] = bool(values["behind_tls"])
    if values["auth"] and ANY_ORIGIN in values["cors_origins"]:
        raise ConfigurationError("CORS_ORIGINS=*: with AUTH=on name the origins, one by one")
    values["instance"] = values["instance"] or f"{service}-{values['port']}"
    values["database_url"] = (
        values["database_url"] or f"sqlite+aiosqlite:///{quote(f'{state}/db/{service}.db')}"
    )
    return settings(service=service, **values)


def _auth(wanted: bool | None, host: str) -> bool:
    """Is sign-in asked for? Raises ConfigurationError where that has to be said, and is not."""
    if wanted is None and not is_loopback(host):
        raise ConfigurationError(
            f"HOST={host} can be reached by others: set AUTH=on, or AUTH=off to trust them all"
        )
    return bool(wanted)


def is_loopback(host: str) -> bool:
    """Can this address be reached from its own machine alone?"""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def broker_settings(environment: Mapping[str, str] | None = None) -> BrokerSettings:
    """The same for a client of the broker that is no service."""
    env = os.environ if environment is None else environment
    values = {
        field: variable.read(variable.name, env) for field, variable in variables(BrokerSettings)
    }
    return BrokerSettings(**values)
