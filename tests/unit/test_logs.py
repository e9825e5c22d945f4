"""Log lines: JSON, written together and soon, warnings at once, and none lost on a full disk."""

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

LOG = logging.Logger("tests.lines", logging.INFO)  # noqa: LOG001 - pytest handles the tree's

Line = dict[str, Any]


class Reader:
    """The other end of a log: the lines of each write."""

    def __init__(self) -> None:
        self.writing, self._reading = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._reading.setblocking(False)
        self.writes: list[list[Line]] = []

    def read(self) -> list[Line]:
        """All lines so far."""
        while True:
            try:
                written = self._reading.recv(1_000_000)
            except BlockingIOError:
                return [line for each in self.writes for line in each]
            self.writes.append([json.loads(line) for line in written.splitlines()])

    def raw(self) -> bytes:
        """What the next write wrote."""
        return self._reading.recv(1_000_000)

    def close(self) -> None:
        self.writing.close()
        self._reading.close()


@pytest.fixture
def reader() -> Iterator[Reader]:
    reader = Reader()
    handler = _handler(reader.writing.fileno())
    yield reader
    LOG.removeHandler(handler)
    reader.close()


@pytest.fixture
def full() -> Iterator[int]:
    """A descriptor on a full disk."""
    descriptor = os.open("/dev/full", os.O_WRONLY)
    handler = _handler(descriptor)
    yield descriptor
    LOG.removeHandler(handler)
    handler.flush()
    os.close(descriptor)


def _handler(descriptor: int) -> logging.Handler:
    handler = logs.BufferedLines(descriptor)
    handler.setFormatter(logs.JsonLines("order"))
    LOG.addHandler(handler)
    return handler


async def _room_again(full: int, log: Path, last: str) -> list[Line]:
    """Make room on the disk. Returns the lines of the log when the last one contains `last`."""
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
        LOG.info("emitted", extra={"number": number})
    assert reader.read() == []

    async def written() -> bool:
        return len(reader.read()) == 100

    await wait_until(written, "all lines are written", timeout_seconds=5)
    assert len(reader.writes) == 1
    assert [line["number"] for line in reader.read()] == list(range(100))
    assert reader.read()[0].keys() == {"time", "level", "service", "message", "number"}


async def test_lines_wait_while_the_disk_is_full(
    full: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(5_000):
        LOG.log(
            logging.INFO if number % 10 else logging.WARNING, "emitted", extra={"number": number}
        )

    lines = await _room_again(full, tmp_path / "log", '"number":4999')

    assert [line["number"] for line in lines] == list(range(5_000))
    assert capsys.readouterr() == ("", "")  # no error was printed instead


async def test_lines_beyond_the_bound_are_counted(
    full: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "MAX_BUFFERED_BYTES", 50_000)
    for _ in range(5_000):
        LOG.info("emitted")

    *emitted, lost = await _room_again(full, tmp_path / "log", "there was no room")

    assert {line["message"] for line in emitted} == {"emitted"}
    assert (lost["level"], lost["lines"]) == ("WARNING", 5_000 - len(emitted))
    assert 0 < (tmp_path / "log").stat().st_size < 51_000


def test_one_call_writes_a_line_for_each(reader: Reader) -> None:
    LOG.warning("emitted", extra={"of": "batch", logs.EACH: [{"event": "A"}, {"event": "B"}]})
    lines = reader.read()
    assert [(line["event"], line["of"]) for line in lines] == [("A", "batch"), ("B", "batch")]
    assert lines[0].keys() == {"time", "level", "service", "message", "of", "event"}


def test_text_of_a_client_makes_no_second_line_and_steers_no_terminal(reader: Reader) -> None:
    name = 'cake"}\n{"level":"ERROR\r\x1b[2J\x7f\x9b31m\u202e\u2028\x00한'
    LOG.warning("refused %s", name, extra={"name_": name, logs.EACH: [{"product": name}]})
    line = reader.raw()
    assert line.count(b"\n") == 1
    assert line.decode().rstrip("\n").isprintable()
    assert "한" in line.decode()
    found = json.loads(line)
    assert found["level"] == "WARNING"
    assert found["product"] == found["name_"] == name
    assert found["message"] == f"refused {name}"


def test_error_in_a_call_to_log_goes_to_stderr(
    reader: Reader, capsys: pytest.CaptureFixture[str]
) -> None:
    LOG.warning("%d", "not a number")
    LOG.warning("next")
    assert [line["message"] for line in reader.read()] == ["next"]
    assert "not a number" in capsys.readouterr().err


def test_warning_is_written_at_once_behind_earlier_lines(reader: Reader) -> None:
    LOG.info("first")
    LOG.warning("second")
    assert [line["message"] for line in reader.read()] == ["first", "second"]
