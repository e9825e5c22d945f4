"""Structured logs: a JSON object on each line, with the saga's id and its trace id if there is one.

log.info("emitted", extra={"event": "RoomHeld", "tripId": ..., "traceId": ...})
log.info("emitted", extra={EACH: [...]})    # one call, and a line for each
"""

import json
import logging
import os
import re
import sys
import threading
import time
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any

import msgspec

from saga.envelope import OutboundEvent, rfc3339

FLUSH_SECONDS = 0.1
MAX_BUFFERED_BYTES = 8_000_000

EACH = "each"
"""The extra with the fields of several lines. A batch has hundreds of them."""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_NOT_SHOWN = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""DEL, the second set of control characters, line ends, and marks of the direction of writing."""

_encode = msgspec.json.Encoder(enc_hook=str).encode


class JsonLines(logging.Formatter):
    """Formats a record as a JSON object, or as one for each of its `EACH`."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": rfc3339(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname,
            "service": self._service,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if EACH in line:
            return "\n".join([_line(line | each) for each in line.pop(EACH)])
        return _line(line)


def _line(fields: dict[str, Any]) -> str:
    """What would steer a terminal is escaped: JSON asks for that below U+0020 alone."""
    line = _encode(fields).decode()
    return line if line.isprintable() else _NOT_SHOWN.sub(_escape, line)


def _escape(found: re.Match[str]) -> str:
    return json.dumps(found[0])[1:-1]


class BufferedLines(logging.Handler):
    """Writes the lines of `FLUSH_SECONDS` by one call to the kernel, and warnings at once.

    A busy service logs thousands of lines per second.

    Lines that the kernel refuses, on a full disk for example, wait until there is room. The code
    that logs gets no error. Beyond `MAX_BUFFERED_BYTES` lines are lost, and the next line in the
    log has their number. (The standard library's QueueListener loses a line that it can't write,
    and writes each line by a call of its own.)
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._waiting = bytearray()
        self._lost = 0
        self._unwritten = threading.Event()
        threading.Thread(target=self._flush_periodically, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record).encode() + b"\n"
        except Exception:  # noqa: BLE001 - an error in a call to log goes to stderr, as usual
            self.handleError(record)
            return
        if len(self._waiting) < MAX_BUFFERED_BYTES:
            self._waiting += line
        else:
            self._lost += line.count(b"\n")
        if record.levelno >= logging.WARNING:
            self.flush()
        else:
            self._unwritten.set()

    def flush(self) -> None:
        """Write what waits, as far as the kernel takes it. The process calls it at its end too."""
        with self.lock or nullcontext():
            try:
                self._write()
            except OSError:
                self._unwritten.set()

    def _write(self) -> None:
        while self._waiting:
            written = os.write(self._descriptor, self._waiting)
            del self._waiting[:written]
            if self._lost and not self._waiting:
                self._waiting += self.format(_lost(self._lost)).encode() + b"\n"
                self._lost = 0

    def _flush_periodically(self) -> None:
        while True:
            self._unwritten.wait()
            time.sleep(FLUSH_SECONDS)  # until more lines have come
            self._unwritten.clear()
            self.flush()


def _lost(lines: int) -> logging.LogRecord:
    warning = {"levelno": logging.WARNING, "levelname": "WARNING", "lines": lines}
    return logging.makeLogRecord(warning | {"msg": "there was no room for more lines of the log"})


def configure(service: str, level: str) -> None:
    """Write everything that this process logs to its standard output."""
    handler = BufferedLines(sys.stdout.fileno())
    handler.setFormatter(JsonLines(service))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # No line shows these (the logging HOWTO, "Optimization").
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    # nats-py logs each attempt to reconnect; the chassis logs the start and the end of an outage.
    for chatty in ("nats", "aiosqlite"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def about(outbound: OutboundEvent, key_name: str) -> dict[str, object]:
    """The fields of a line about an event. `key_name` is what its stream calls its key."""
    return {
        "event": outbound.name,
        key_name: outbound.key,
        "eventId": outbound.event_id,
        "causeId": outbound.cause_id,
        "traceId": outbound.traceparent[3:35],
    }
