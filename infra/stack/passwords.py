"""The broker's passwords: created once for each state folder and user."""

import os
import secrets
from pathlib import Path

from infra.stack.config import NATS_USERS


def variable(user: str) -> str:
    return f"NATS_PASSWORD_{user.upper()}"


def load_or_make(state_dir: Path) -> dict[str, str]:
    """Each user's password. Creates those that are missing."""
    passwords = load(state_dir)
    missing = [user for user in NATS_USERS if user not in passwords]
    if missing:
        passwords |= {user: _new_password() for user in missing}
        _save(state_dir, passwords)
    return passwords


def load(state_dir: Path) -> dict[str, str]:
    try:
        lines = _file(state_dir).read_text().splitlines()
    except FileNotFoundError:
        return {}
    values = dict(line.split("=", 1) for line in lines if "=" in line)
    return {user: values[variable(user)] for user in NATS_USERS if variable(user) in values}


def _new_password() -> str:
    # nats-server reads a variable's value as configuration: "12e4" would be a number and "true" a
    # boolean. A letter first, then hex digits, is always a string, and needs no quoting in a URL.
    return f"p{secrets.token_hex(20)}"


def _save(state_dir: Path, passwords: dict[str, str]) -> None:
    """Write another file and rename it, so that a reader sees the old or the new one in full."""
    text = "".join(f"{variable(user)}={password}\n" for user, password in passwords.items())
    beside = _file(state_dir).with_suffix(".new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    beside.replace(_file(state_dir))


def _file(state_dir: Path) -> Path:
    return state_dir / "secrets.env"
