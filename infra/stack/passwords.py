"""Passwords, created once for each state folder: the broker's users, and those who sign in."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from infra.stack.config import NATS_USERS, Stack

PEOPLE = ("customer", "shopkeeper", "operator")
OPS_TOKEN = "OPS_TOKEN"  # noqa: S105 - the name of a variable


def variable(user: str) -> str:
    return f"NATS_PASSWORD_{user.upper()}"


def persons_variable(person: str) -> str:
    return f"{person.upper()}_PASSWORD"


_OF_SIGN_IN = (*map(persons_variable, PEOPLE), OPS_TOKEN)


def load_or_make(state_dir: Path) -> dict[str, str]:
    """The password of each of the broker's users. Creates all that are missing."""
    values = _load(state_dir)
    missing = [name for name in (*map(variable, NATS_USERS), *_OF_SIGN_IN) if name not in values]
    if missing:
        _save(state_dir, values | {name: _new_password() for name in missing})
    return load(state_dir)


def load(state_dir: Path) -> dict[str, str]:
    """The password of each of the broker's users."""
    values = _load(state_dir)
    return {user: values[variable(user)] for user in NATS_USERS if variable(user) in values}


def of_sign_in(state_dir: Path) -> dict[str, str]:
    """People's passwords and the operators' token, by variable: with AUTH=on."""
    values = _load(state_dir)
    return {name: values[name] for name in _OF_SIGN_IN if name in values}


def ops_token(stack: Stack, environment: Mapping[str, str]) -> str | None:
    """The operators' token: as it is set, else with AUTH=on the stack's own."""
    own = of_sign_in(stack.state_dir).get(OPS_TOKEN) if stack.auth else None
    return environment.get(OPS_TOKEN) or stack.settings.get(OPS_TOKEN) or own


def _load(state_dir: Path) -> dict[str, str]:
    try:
        lines = _file(state_dir).read_text().splitlines()
    except FileNotFoundError:
        return {}
    return dict(line.split("=", 1) for line in lines if "=" in line)


def _new_password() -> str:
    # nats-server reads a variable's value as configuration: "12e4" would be a number and "true" a
    # boolean. A letter first, then hex digits, is always a string, and needs no quoting in a URL.
    return f"p{secrets.token_hex(20)}"


def _save(state_dir: Path, values: dict[str, str]) -> None:
    """Write another file and rename it, so that a reader sees the old or the new one in full."""
    text = "".join(f"{name}={password}\n" for name, password in values.items())
    beside = _file(state_dir).with_suffix(".new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    beside.replace(_file(state_dir))


def _file(state_dir: Path) -> Path:
    return state_dir / "secrets.env"
