"""The program supervisord, with log files that may be deleted, or stand on a full disk.

supervisord alone goes on writing to deleted files, starts no part again, because it can't open a
log for it, and stops reading a part's output when its log would be rotated. A write error that it
can't report either, because its own output is on the same full disk, ends it.
"""

from contextlib import suppress
from pathlib import Path
from typing import Any

from supervisor import loggers, supervisord


class LogFile(loggers.RotatingFileHandler):  # type: ignore[misc]  # supervisor has no types
    """A log file that is created again, with its folder, when it is gone."""

    stream: Any

    def __init__(self, filename: str, *options: object) -> None:
        Path(filename).parent.mkdir(parents=True, exist_ok=True)
        super().__init__(filename, *options)

    def emit(self, record: object) -> None:
        try:
            if self.stream.closed or not Path(self.baseFilename).exists():
                Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
                self._open_again()
            super().emit(record)
        except OSError:  # the next line tries again
            self.handleError()

    def _open_again(self) -> None:
        with suppress(OSError):  # lines that could not be written are lost
            self.stream.close()
        loggers.FileHandler.__init__(self, self.baseFilename, "ab")


_report = loggers.Handler.handleError


def report_error(handler: loggers.Handler) -> None:
    """On stderr, if that can be written: the process must not end for a line of a log."""
    with suppress(OSError):
        _report(handler)


if __name__ == "__main__":
    loggers.RotatingFileHandler = LogFile
    loggers.Handler.handleError = report_error
    supervisord.main()
