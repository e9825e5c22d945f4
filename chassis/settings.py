"""What a service can be told from outside: environment variables, with defaults for one machine."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from saga.errors import ConfigurationError

SERVICE_PORTS = {
    "order": 8181,
    "product": 8182,
    "payment": 8183,
    "coupon": 8184,
    "dataplatform": 8185,
}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """One instance of one service. `instance` names it: the same again after a restart."""

    service: str
    host: str
    port: int
    instance: str
    database_url: str
    nats_url: str
    nats_replicas: int
    ops_token: str | None
    log_level: str
    max_body_bytes: int
    orders_per_second: float
    overload_latency_seconds: float
    mailbox_capacity: int
    max_listeners: int
    command_timeout_seconds: float
    retention_seconds: float
    retransmit_after_seconds: float
    order_timeout_seconds: float
    wait_timeout_seconds: float
    payment_gateway_url: str | None
    data_platform_url: str | None
    redis_url: str | None
    recovery_mode: bool


def from_environment(service: str, environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings of a service. Raises ConfigurationError naming the variable at fault.

    A variable with the service's name in front (`ORDER_PORT`) is the service's own.
    """
    env = os.environ if environment is None else environment
    prefix = service.upper()
    state = Path(env.get("STATE_DIR") or ".run").absolute()
    host = env.get("HOST") or "127.0.0.1"
    port = _whole(env, f"{prefix}_PORT", SERVICE_PORTS.get(service, 8180), 1, 65_535)
    level = (env.get("LOG_LEVEL") or "INFO").upper()
    if level not in logging.getLevelNamesMapping():
        raise ConfigurationError(f"LOG_LEVEL={level}: use DEBUG, INFO, WARNING or ERROR")
    return Settings(
        service=service,
        host=host,
        port=port,
        instance=env.get("INSTANCE") or f"{service}-{port}",
        database_url=env.get(f"{prefix}_DATABASE_URL")
        or f"sqlite+aiosqlite:///{state}/db/{service}.db",
        nats_url=env.get("NATS_URL") or "nats://127.0.0.1:4222",
        nats_replicas=_whole(env, "NATS_REPLICAS", 1, 1, 5),
        ops_token=env.get("OPS_TOKEN") or None,
        log_level=level,
        max_body_bytes=_whole(env, "MOST_BODY_BYTES", 64 * 1024, 1024, 16 * 1024 * 1024),
        orders_per_second=_whole(env, "ORDERS_PER_SECOND", 0, 0, 1_000_000),
        overload_latency_seconds=_whole(env, "LATE_SECONDS", 2, 0, 3600),
        mailbox_capacity=_whole(env, "MAILBOX_CAPACITY", 5_000, 1, 1_000_000),
        max_listeners=_whole(env, "MOST_LISTENERS", 10_000, 0, 1_000_000),
        command_timeout_seconds=_whole(env, "PATIENCE_SECONDS", 5, 1, 60),
        retention_seconds=_whole(env, "RETENTION_SECONDS", 8 * 24 * 3600, 60, 10 * 366 * 24 * 3600),
        retransmit_after_seconds=_whole(env, "REPEAT_AFTER_SECONDS", 30, 1, 24 * 3600),
        order_timeout_seconds=_whole(env, "ORDER_TIMEOUT_SECONDS", 600, 1, 30 * 24 * 3600),
        wait_timeout_seconds=_whole(env, "WAIT_TIMEOUT_SECONDS", 3600, 1, 30 * 24 * 3600),
        payment_gateway_url=_base_url(env, "PAYMENT_GATEWAY_URL", "http", "https"),
        data_platform_url=_url(env, "DATA_PLATFORM_URL", "http", "https"),
        redis_url=_base_url(env, "REDIS_URL", "redis", "rediss", "unix"),
        recovery_mode=bool(_whole(env, "QUARANTINE", 0, 0, 1)),
    )


def _whole(env: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = env.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        raise ConfigurationError(f"{name}={text}: use a whole number from {least} to {most}")
    return int(text)


def _url(env: Mapping[str, str], name: str, *schemes: str) -> str | None:
    text = env.get(name)
    if text and text.partition("://")[0] not in schemes:
        known = " or ".join(f"{scheme}://" for scheme in schemes)
        raise ConfigurationError(f"{name}={text}: use an address that begins with {known}")
    return text or None


def _base_url(env: Mapping[str, str], name: str, *schemes: str) -> str | None:
    """An address to which paths are added."""
    text = _url(env, name, *schemes)
    return text and text.rstrip("/")
