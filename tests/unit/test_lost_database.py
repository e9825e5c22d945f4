"""The local stack misses a database that was there: its service starts in recovery mode."""

from pathlib import Path

import pytest

from infra.stack import config, folder
from infra.stack.config import Stack, from_environment
from infra.stack.launch import notice_lost_database


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return from_environment({"STATE_DIR": str(tmp_path)})


def test_first_start_is_not_in_recovery_mode(stack: Stack) -> None:
    notice_lost_database(stack, "payment", {})
    assert not config.recovery_marker(stack, "payment").exists()


def test_missing_database_is_named(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    """The folder of all databases is missing too."""
    folder.mark_seeded(stack)
    notice_lost_database(stack, "payment", {})
    assert config.recovery_marker(stack, "payment").exists()
    assert f"{stack.state_dir}/db/payment.db is missing" in capsys.readouterr().out


def test_database_that_is_there_or_elsewhere_is_not_missed(stack: Stack) -> None:
    folder.mark_seeded(stack)
    (stack.state_dir / "db").mkdir()
    config.database_file(stack, "order").touch()
    notice_lost_database(stack, "order", {})
    notice_lost_database(stack, "payment", {"PAYMENT_DATABASE_URL": "postgresql+psycopg://x/y"})
    for service in ("order", "payment"):
        assert not config.recovery_marker(stack, service).exists()
