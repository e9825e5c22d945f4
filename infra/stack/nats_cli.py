"""The `nats` command line tool: finding it, and contexts with which it reaches this stack.

A context is a file with an address and a user. `nats --context saga stream ls` reads as the
observer, which can change nothing; `saga-admin` and `saga-sys` are the users that can.
"""

import os
from pathlib import Path
from typing import Any

import msgspec

from infra.stack import config, passwords
from infra.stack.config import Stack

# Marks a context as ours: a person's context of the same name is not overwritten.
_OURS = "Shop saga local stack"

_SUFFIXES = {"observer": "", "admin": "-admin", "sys": "-sys"}


def find(stack: Stack) -> str | None:
    """The program, from PATH, this environment or STATE_DIR/bin; None when there is none."""
    own = stack.state_dir / "bin" / "nats"
    return config.program("nats") or (str(own) if own.exists() else None)


def write_contexts(stack: Stack) -> list[str]:
    """Write a context for each user; none when NATS_CONTEXT is empty. Returns notes to print."""
    prefix = os.environ.get("NATS_CONTEXT", "saga")
    if not prefix:
        return []
    try:
        return _write_contexts(stack, prefix, _settings_folder() / "context")
    except (OSError, RuntimeError) as error:  # without a home folder, or one that is not ours
        return [f"The nats tool has no contexts of this stack: {error}"]


def _write_contexts(stack: Stack, prefix: str, folder: Path) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    secret = passwords.load(stack.state_dir)
    notes = []
    for user, suffix in _SUFFIXES.items():
        file = folder / f"{prefix}{suffix}.json"
        if not _is_ours(file, stack):
            notes.append(f"{file} belongs to {_owner(file)} and was not changed; set NATS_CONTEXT.")
            continue
        _write(file, _context(stack, user, secret[user]))
    _select_unless_chosen(prefix)
    return notes


def remove_contexts(stack: Stack) -> None:
    """Remove what `write_contexts` wrote for this state folder, and nothing else."""
    try:
        files = list((_settings_folder() / "context").glob("*.json"))
    except RuntimeError:  # without a home folder
        return
    for file in files:
        if _description(file) == _ours(stack):
            file.unlink()
            chosen = _settings_folder() / "context.txt"
            if chosen.exists() and chosen.read_text().strip() == file.stem:
                chosen.unlink()


def _context(stack: Stack, user: str, password: str) -> dict[str, str]:
    return {
        "description": _ours(stack),
        "url": stack.nats_url(),
        "user": user,
        "password": password,
    }


def _select_unless_chosen(name: str) -> None:
    chosen = _settings_folder() / "context.txt"
    if not chosen.exists() or not chosen.read_text().strip():
        chosen.write_text(name)


def _write(file: Path, content: dict[str, str]) -> None:
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as target:
        target.write(msgspec.json.format(msgspec.json.encode(content), indent=2))


def _ours(stack: Stack) -> str:
    return f"{_OURS} in {stack.state_dir}"


def _is_ours(file: Path, stack: Stack) -> bool:
    """True for a context of this stack, and of a stack whose folder is gone."""
    if not file.exists():
        return True
    described, folder = _description(file), _description(file).removeprefix(f"{_OURS} in ")
    return described == _ours(stack) or (folder != described and not Path(folder).exists())


def _owner(file: Path) -> str:
    described = _description(file)
    return described if described.startswith(_OURS) else "another owner"


def _description(file: Path) -> str:
    try:
        content: Any = msgspec.json.decode(file.read_bytes())
    except (OSError, msgspec.DecodeError):
        return ""
    return str(content.get("description", "")) if isinstance(content, dict) else ""


def _settings_folder() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "nats"
