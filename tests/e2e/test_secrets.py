"""Secrets of a running stack: in files of its owner alone, and in nothing that others read."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.stack import passwords, pids
from tests.kit.client import SERVICES, Shop

OPEN_TO_ALL = {"supervisord.conf", "supervisord.pid"}
"""In STATE_DIR itself, which may be a folder that its user has created for all to read."""


def folder_of(shop: Shop) -> Path:
    return Path(shop.environment["STATE_DIR"])


def secrets_of(shop: Shop) -> dict[str, str]:
    """By name: those of the broker's users and of the people who sign in."""
    folder = folder_of(shop)
    return passwords.load(folder) | passwords.of_sign_in(folder)


def process_ids(shop: Shop) -> dict[str, int]:
    parts = (*SERVICES, "nats", "gateway", "platform", pids.SUPERVISOR)
    found = {part: pids.alive(folder_of(shop), part) for part in parts}
    return {part: pid for part, pid in found.items() if pid}


def readable_by_others(folder: Path) -> Iterator[str]:
    """What another user reads who may enter the folder itself."""
    for entry in folder.iterdir():
        if entry.is_symlink() or not entry.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            continue
        if entry.is_dir():
            yield from (f"{entry.name}/{name}" for name in readable_by_others(entry))
        elif entry.stat().st_size:
            yield entry.name


def test_state_folder_shows_nothing_to_other_users(shop: Shop) -> None:
    assert set(readable_by_others(folder_of(shop))) <= OPEN_TO_ALL
    shown = [folder_of(shop) / name for name in OPEN_TO_ALL]
    texts = [file.read_text() for file in shown if file.exists()]
    assert not [name for name, secret in secrets_of(shop).items() if secret in str(texts)]


def test_no_secret_is_in_a_command_line(shop: Shop) -> None:
    """All users of a machine read those, with ps; only its own user reads an environment."""
    for part, pid in process_ids(shop).items():
        line = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
        assert line, part
        assert not [name for name, secret in secrets_of(shop).items() if secret in line], part
        assert stat.S_IMODE(Path(f"/proc/{pid}/environ").stat().st_mode) == 0o400


@pytest.mark.parametrize("service", SERVICES)
def test_service_has_no_secret_of_another_part(shop: Shop, service: str) -> None:
    environment = Path(f"/proc/{process_ids(shop)[service]}/environ").read_bytes().decode()
    users = passwords.load(folder_of(shop))
    assert users[service] in environment
    assert not [user for user, secret in users.items() if user != service and secret in environment]


async def test_no_secret_is_in_a_log_or_on_a_public_page(shop: Shop) -> None:
    texts = {each.name: each.read_text(errors="replace") for each in _logs(shop)}
    for service in SERVICES:
        for path in ("/health/live", "/health/ready", "/metrics", "/schema/openapi.json"):
            texts[service + path] = str((await shop.call(service, "GET", path)).body)
    for name, secret in secrets_of(shop).items():
        assert not [where for where, text in texts.items() if secret in text], name


def _logs(shop: Shop) -> list[Path]:
    found = list((folder_of(shop) / "logs").glob("*.log"))
    assert len(found) >= len(SERVICES)
    return found
