"""Structured logs: one JSON object a line, with the order's id and its trace id where there is one.

log.info("said", extra={"event": "CouponUsed", "orderId": ..., "traceId": ...})
log.info("said", extra={EACH: [...]})       # a line for each, in one go
"""

import logging
import os
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
"""The extra that holds what is told in a line for each of many. A batch has hundreds of them."""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_encode = msgspec.json.Encoder(enc_hook=str).encode


class JsonLines(logging.Formatter):
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
            return b"\n".join([_encode(line | each) for each in line.pop(EACH)]).decode()
        return _encode(line).decode()


class Lines(logging.Handler):
    """Writes lines together: those of `FLUSH_SECONDS` in one go, and warnings at once.

    A busy service says thousands of lines a second, and each write is a call to the kernel. One
    thread does it all the time: to start one (a `Timer`) keeps who logs waiting until it runs.

    Lines that the kernel refuses, of a full disk say, wait for room: `MAX_BUFFERED_BYTES` of them,
    and how many more there were is told. It is no fault of who logs, who is not told of it.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._waiting = bytearray()
        self._lost = 0
        self._unwritten = threading.Event()
        threading.Thread(target=self._flush_now_and_then, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record).encode() + b"\n"
        except Exception:  # noqa: BLE001 - a slip in a call to log stops nothing: stderr tells it
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
        """Write what waits; called at the end of the process too."""
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

    def _flush_now_and_then(self) -> None:
        while True:
            self._unwritten.wait()
            time.sleep(FLUSH_SECONDS)  # for others to come along
            self._unwritten.clear()
            self.flush()


def _lost(lines: int) -> logging.LogRecord:
    told = {"levelno": logging.WARNING, "levelname": "WARNING", "lines": lines}
    return logging.makeLogRecord(told | {"msg": "there was no room for more lines of the log"})


def configure(service: str, level: str) -> None:
    """Send everything that this process logs to its standard output."""
    handler = Lines(sys.stdout.fileno())
    handler.setFormatter(JsonLines(service))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # What no line shows need not be found out for each (the logging HOWTO, "Optimization").
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    # nats-py tells each attempt to reconnect: what matters of it we say ourselves.
    for chatty in ("nats", "aiosqlite"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def about(outbound: OutboundEvent) -> dict[str, object]:
    """What a line about an event carries."""
    return {
        "event": outbound.name,
        "orderId": outbound.key,
        "eventId": outbound.event_id,
        "causeId": outbound.cause_id,
        "traceId": outbound.traceparent[3:35],
    }
