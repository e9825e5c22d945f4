"""The program supervisord, with log files whose folder may be deleted while it runs.

supervisord alone goes on writing to the deleted files, starts no part again, because it can't open
a log for it, and stops reading a part's output when its log would be rotated.
"""

from pathlib import Path

from supervisor import loggers, supervisord


class LogFile(loggers.RotatingFileHandler):  # type: ignore[misc]  # supervisor has no types
    """A log file that is created again, with its folder, when it is gone."""

    def __init__(self, filename: str, *options: object) -> None:
        Path(filename).parent.mkdir(parents=True, exist_ok=True)
        super().__init__(filename, *options)

    def emit(self, record: object) -> None:
        try:
            if self.closed or not Path(self.baseFilename).exists():
                Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
                self.reopen()
        except OSError:  # the next line tries again
            self.handleError()
            return
        super().emit(record)


if __name__ == "__main__":
    loggers.RotatingFileHandler = LogFile
    supervisord.main()
