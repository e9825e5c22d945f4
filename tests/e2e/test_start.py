"""`make up` starts the stack wherever it is and at any address, or names in one line why not.

Each stack here is started once, for several of the things that can stand in its way.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.kit.stack import ROOT, copy_project, free_ports, run_stack

NASTY = "n%20 %(x)s'\"`#?;é$HOME&=\\+[a]{}*~!,|<> ok"


def stack_environment(folder: Path, **settings: str) -> dict[str, str]:
    ports = {f"{part.upper()}_PORT": str(port) for part, port in free_ports().items()}
    return dict(os.environ) | ports | {"STATE_DIR": str(folder), "NATS_CONTEXT": ""} | settings


def command(
    environment: Mapping[str, str], *words: str, before: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*before, sys.executable, "-m", "infra.stack", *words],
        cwd=ROOT,
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_paths_may_hold_any_character_and_host_be_any_address(tmp_path: Path) -> None:
    """A copy of the project, its state and the address are all unusual at once."""
    project = tmp_path / NASTY
    copy_project(project)
    environment = stack_environment(tmp_path / "state" / NASTY, HOST="::", AUTH="off")
    run = ("audit", "--quiet-seconds", "0")
    try:
        run_stack(environment, "up", root=project)
        assert "ORDER_URL=http://[::1]:" in run_stack(environment, "env", root=project)
        assert "3 accepted" in run_stack(environment, "load", "--orders", "3", root=project)
        assert "clean (3 orders)" in run_stack(environment, *run, root=project)
        run_stack(environment, "kill", "order", root=project)
    finally:
        run_stack(environment, "down", root=project)


def test_make_passes_the_state_folder_on_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "a $HOME '\" (1)% #"
    makefile = tmp_path / "Makefile"
    makefile.write_text(f"include {ROOT}/Makefile\nshow:\n\t@printenv STATE_DIR\n")
    without = {name: value for name, value in os.environ.items() if name != "STATE_DIR"}
    for words, environment in (
        ((f"STATE_DIR={folder}",), without),
        ((), without | {"STATE_DIR": str(folder)}),
    ):
        shown = subprocess.run(
            ["make", "-s", "-f", str(makefile), "show", *words],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert shown.stdout == f"{folder}\n"


@pytest.mark.skipif(shutil.which("unshare") is None, reason="util-linux is not installed")
def test_user_without_a_name_and_a_home_folder_can_start_it(tmp_path: Path) -> None:
    named = ("HOME", "USER", "LOGNAME", "XDG_CONFIG_HOME", "NATS_CONTEXT")
    environment = stack_environment(tmp_path / "state")
    environment = {name: value for name, value in environment.items() if name not in named}
    before = ("unshare", "--user", "--map-user=54321", "--map-group=54321")
    if subprocess.run([*before, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine does not let a user change its number")
    try:
        up = command(environment, "up", before=before)
        assert up.returncode == 0, up.stderr
        assert "The nats tool has no contexts of this stack: " in up.stdout
    finally:
        down = command(environment, "down", before=before)
    assert down.returncode == 0


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ("LOG_LEVEL=LOUD", "order: LOG_LEVEL=LOUD: use DEBUG, INFO, WARNING or ERROR"),
        ("AUTH=off HOST=nowhere.invalid", "HOST=nowhere.invalid: use an address of this machine ("),
        ("HOST=0.0.0.0", "order: HOST=0.0.0.0 can be reached by others: set AUTH=on, or AUTH=off"),
        ("AUTH=off HOST=203.0.113.9", "HOST=203.0.113.9: use an address of this machine ("),
        ("NATS_SYNC_INTERVAL=often", "NATS_SYNC_INTERVAL=often: use a time such as"),
        ("STATE_DIR=/tmp/a\nb", "STATE_DIR may have no control character"),
    ],
)
def test_wrong_setting_is_named_in_one_line_before_anything_starts(
    tmp_path: Path, setting: str, line: str
) -> None:
    settings = dict(each.split("=", 1) for each in setting.split(" "))
    up = command(stack_environment(tmp_path) | settings, "up")
    assert (up.returncode, up.stdout, len(up.stderr.splitlines())) == (1, "", 1)
    assert up.stderr.startswith(line)


def test_wrong_database_ends_the_start_with_the_services_own_line(tmp_path: Path) -> None:
    environment = stack_environment(tmp_path / "state", LOG_LEVEL="WARNING")
    in_the_way = tmp_path / "folder.db"
    in_the_way.mkdir()
    wrong = environment | {"PAYMENT_DATABASE_URL": f"sqlite+aiosqlite:///{in_the_way}"}
    up = command(wrong, "up")
    line = f"payment: the database can't be used: [Errno 21] Is a directory: '{in_the_way}'"
    assert (up.returncode, up.stderr) == (1, f"{line}\n")
    log = tmp_path / "state" / "logs" / "payment.log"
    assert set(log.read_text().splitlines()) == {line}  # once for each start
    try:
        assert command(environment, "up").returncode == 0  # the next one starts afresh
        assert_differing_settings_are_named(environment)
    finally:
        assert command(environment, "down").returncode == 0


def assert_differing_settings_are_named(environment: dict[str, str]) -> None:
    assert command(environment, "up").returncode == 0
    others = {"LOG_LEVEL": "DEBUG", "ORDER_DATABASE_URL": "postgresql://me:secret@x/y"}
    others |= {"ORDER_TIMEOUT_SECONDS": "60", "ORDER_PORT": "9", "PATIENCE_SECONDS": "5"}
    other = command(environment | others, "up")
    assert other.returncode == 1
    assert other.stderr.replace("\n", " ") == (
        f"The stack already runs, with ORDER_PORT={environment['ORDER_PORT']}, LOG_LEVEL=WARNING, "
        "no ORDER_DATABASE_URL, no ORDER_TIMEOUT_SECONDS. Run `make down` first. "
    )
