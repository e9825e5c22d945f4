"""The NATS CLI's contexts: a stack writes its own, and changes no others."""

import json
from pathlib import Path

import pytest

from infra.stack import nats_cli, passwords
from infra.stack.config import Stack


@pytest.fixture
def contexts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("NATS_CONTEXT", "shop")
    return tmp_path / "config" / "nats" / "context"


def stack(folder: Path, port: int) -> Stack:
    folder.mkdir()
    passwords.load_or_make(folder)
    return Stack(
        state_dir=folder,
        socket=folder / "socket",
        ports={"nats": port},
        redis_server=None,
        redis_url=None,
        gateway_url="",
        simulates_gateway=True,
        platform_url="",
        simulates_platform=True,
    )


def port(contexts: Path) -> int:
    url: str = json.loads((contexts / "shop.json").read_text())["url"]
    return int(url.rpartition(":")[2])


def test_second_stack_keeps_the_contexts_of_the_first(tmp_path: Path, contexts: Path) -> None:
    assert nats_cli.write_contexts(stack(tmp_path / "first", 1)) == []
    notes = nats_cli.write_contexts(stack(tmp_path / "second", 2))
    assert port(contexts) == 1
    assert len(notes) == 3
    assert "set NATS_CONTEXT" in notes[0]
    assert str(tmp_path / "first") in notes[0]


def test_contexts_of_a_deleted_stack_are_overwritten(tmp_path: Path, contexts: Path) -> None:
    first = stack(tmp_path / "first", 1)
    nats_cli.write_contexts(first)
    for file in first.state_dir.iterdir():
        file.unlink()
    first.state_dir.rmdir()
    assert nats_cli.write_contexts(stack(tmp_path / "second", 2)) == []
    assert port(contexts) == 2


def test_contexts_of_a_person_are_kept(tmp_path: Path, contexts: Path) -> None:
    contexts.mkdir(parents=True)
    (contexts / "shop.json").write_text('{"description": "mine", "url": "nats://far.away:7"}')
    notes = nats_cli.write_contexts(stack(tmp_path / "first", 1))
    assert port(contexts) == 7
    assert "another owner" in notes[0]
