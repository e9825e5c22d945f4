"""Log lines: JSON, together and soon, warnings at once, and none lost to a full disk."""

import json
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chassis.observability import logs
from tests.kit.client import wait_until

LOG = logging.Logger("tests.lines", logging.INFO)  # noqa: LOG001 - pytest listens to the tree's

Line = dict[str, Any]


class Reader:
    """The other end of a log: what was written, write by write."""

    def __init__(self) -> None:
        self.writing, self._reading = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._reading.setblocking(False)
        self.writes: list[list[Line]] = []

    def read(self) -> list[Line]:
        """All lines by now."""
        while True:
            try:
                written = self._reading.recv(1_000_000)
            except BlockingIOError:
                return [line for each in self.writes for line in each]
            self.writes.append([json.loads(line) for line in written.splitlines()])

    def close(self) -> None:
        self.writing.close()
        self._reading.close()


@pytest.fixture
def reader() -> Iterator[Reader]:
    reader = Reader()
    handler = _told_to(reader.writing.fileno())
    yield reader
    LOG.removeHandler(handler)
    reader.close()


@pytest.fixture
def full() -> Iterator[int]:
    """A descriptor on a disk that has no room."""
    descriptor = os.open("/dev/full", os.O_WRONLY)
    handler = _told_to(descriptor)
    yield descriptor
    LOG.removeHandler(handler)
    handler.flush()
    os.close(descriptor)


def _told_to(descriptor: int) -> logging.Handler:
    handler = logs.Lines(descriptor)
    handler.setFormatter(logs.JsonLines("order"))
    LOG.addHandler(handler)
    return handler


async def _room_again(full: int, log: Path, last: str) -> list[Line]:
    """The disk has room from now on. Returns what is in the log once its last line says this."""
    with log.open("wb") as file:
        os.dup2(file.fileno(), full)

    async def written() -> bool:
        text = _text(log)
        return text.endswith("\n") and last in text.splitlines()[-1]

    await wait_until(written, f"{last} is written", timeout_seconds=5)
    return [json.loads(line) for line in _text(log).splitlines()]


def _text(log: Path) -> str:
    return log.read_text()


async def test_lines_are_written_together_and_soon(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "FLUSH_SECONDS", 0.5)  # a hundred lines take less on any machine
    for number in range(100):
        LOG.info("said", extra={"number": number})
    assert reader.read() == []

    async def written() -> bool:
        return len(reader.read()) == 100

    await wait_until(written, "all lines are written", timeout_seconds=5)
    assert len(reader.writes) == 1
    assert [line["number"] for line in reader.read()] == list(range(100))
    assert reader.read()[0].keys() == {"time", "level", "service", "message", "number"}


async def test_lines_outlast_a_full_disk(
    full: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(5_000):
        LOG.log(logging.INFO if number % 10 else logging.WARNING, "said", extra={"number": number})

    lines = await _room_again(full, tmp_path / "log", '"number":4999')

    assert [line["number"] for line in lines] == list(range(5_000))
    assert capsys.readouterr() == ("", "")  # nobody complained in their stead


async def test_what_a_full_disk_has_no_room_for_is_counted(
    full: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "MAX_BUFFERED_BYTES", 50_000)
    for _ in range(5_000):
        LOG.info("said")

    *emitted, lost = await _room_again(full, tmp_path / "log", "there was no room")

    assert {line["message"] for line in emitted} == {"said"}
    assert (lost["level"], lost["lines"]) == ("WARNING", 5_000 - len(emitted))
    assert 0 < (tmp_path / "log").stat().st_size < 51_000


def test_many_are_told_in_one_go_and_each_in_a_line(reader: Reader) -> None:
    LOG.warning("said", extra={"of": "batch", logs.EACH: [{"event": "A"}, {"event": "B"}]})
    lines = reader.read()
    assert [(line["event"], line["of"]) for line in lines] == [("A", "batch"), ("B", "batch")]
    assert lines[0].keys() == {"time", "level", "service", "message", "of", "event"}


def test_a_slip_in_a_call_to_log_stops_nothing(
    reader: Reader, capsys: pytest.CaptureFixture[str]
) -> None:
    LOG.warning("%d", "not a number")
    LOG.warning("next")
    assert [line["message"] for line in reader.read()] == ["next"]
    assert "not a number" in capsys.readouterr().err


def test_a_warning_takes_those_before_it_along(reader: Reader) -> None:
    LOG.info("first")
    LOG.warning("second")
    assert [line["message"] for line in reader.read()] == ["first", "second"]
