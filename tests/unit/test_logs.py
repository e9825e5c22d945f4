"""Log lines: JSON, together and soon, warnings at once."""

import io
import json
import logging
from collections.abc import Iterator
from errno import ENOSPC

import pytest

from infra import logs
from tests.shop import until


class Pipe(io.StringIO):
    """What was written, and what of it was flushed."""

    def __init__(self) -> None:
        super().__init__()
        self.flushed: list[dict[str, object]] = []
        self.flushes = 0
        self.full = False

    def flush(self) -> None:
        if self.full:
            raise OSError(ENOSPC, "No space left on device")
        self.flushes += 1
        self.flushed = [json.loads(line) for line in self.getvalue().splitlines()]


@pytest.fixture
def pipe() -> Pipe:
    return Pipe()


@pytest.fixture
def log(pipe: Pipe) -> Iterator[logging.Logger]:
    handler = logs.Lines(pipe)
    handler.setFormatter(logs.JsonLines("order"))
    log = logging.getLogger("tests.lines")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    yield log
    log.removeHandler(handler)


async def test_lines_are_written_together_and_soon(log: logging.Logger, pipe: Pipe) -> None:
    for number in range(100):
        log.info("said", extra={"number": number})
    assert pipe.flushed == []

    async def written() -> bool:
        return len(pipe.flushed) == 100

    await until(written, "all lines are written", timeout_seconds=2)
    assert pipe.flushes == 1
    assert [line["number"] for line in pipe.flushed] == list(range(100))
    assert pipe.flushed[0].keys() == {"time", "level", "service", "message", "number"}


async def test_lines_outlast_a_full_disk(log: logging.Logger, pipe: Pipe) -> None:
    pipe.full = True
    log.info("first")
    log.warning("second")
    assert pipe.flushed == []
    pipe.full = False

    async def written() -> bool:
        return len(pipe.flushed) == 2

    await until(written, "both lines are written", timeout_seconds=2)
    assert [line["message"] for line in pipe.flushed] == ["first", "second"]


def test_many_are_told_in_one_go_and_each_in_a_line(log: logging.Logger, pipe: Pipe) -> None:
    log.warning("said", extra={"of": "batch", logs.EACH: [{"event": "A"}, {"event": "B"}]})
    assert [(line["event"], line["of"]) for line in pipe.flushed] == [
        ("A", "batch"),
        ("B", "batch"),
    ]
    assert pipe.flushed[0].keys() == {"time", "level", "service", "message", "of", "event"}


def test_a_warning_takes_those_before_it_along(log: logging.Logger, pipe: Pipe) -> None:
    log.info("first")
    log.warning("second")
    assert [line["message"] for line in pipe.flushed] == ["first", "second"]
