"""Structured logs: one JSON object a line, with the order's id and its trace id where there is one.

log.info("said", extra={"event": "CouponUsed", "orderId": ..., "traceId": ...})
"""

import logging
import sys
from datetime import UTC, datetime

import msgspec

from events.wire import Sealed, rfc3339

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_encode = msgspec.json.Encoder(enc_hook=str).encode


class JsonLines(logging.Formatter):
    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": rfc3339(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname,
            "service": self._service,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _encode(line).decode()


def configure(service: str, level: str) -> None:
    """Send everything that this process logs to its standard output."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines(service))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # nats-py tells each attempt to reconnect: what matters of it we say ourselves.
    for chatty in ("nats", "aiosqlite"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def about(sealed: Sealed) -> dict[str, object]:
    """What a line about an event carries."""
    return {
        "event": sealed.name,
        "orderId": sealed.key,
        "eventId": sealed.event_id,
        "causeId": sealed.cause_id,
        "traceId": sealed.traceparent[3:35],
    }
