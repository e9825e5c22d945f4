"""Log lines of an outage: its beginning, once a minute while it lasts, and its end."""

import logging
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

REPORT_SECONDS = 60.0


class OutageLog:
    """The outages of one thing. A client that is cut off fails several times a second.

    `of` names the thing in the log lines. `clock` returns seconds.
    """

    def __init__(self, of: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._of = of
        self._clock = clock
        self._began: float | None = None
        self._reported = 0.0
        self._failures = 0

    @property
    def lasts(self) -> bool:
        return self._began is not None

    def failed(self, error: object) -> None:
        """An attempt has failed. Its error is logged with the line that it leads to, if any."""
        now = self._clock()
        text = str(error) or repr(error)  # a TimeoutError has no text
        if self._began is None:
            self._began = self._reported = now
            self._failures = 1
            log.warning("outage of %s began", self._of, extra={"error": text})
            return
        self._failures += 1
        if now - self._reported >= REPORT_SECONDS:
            self._reported = now
            log.warning(
                "outage of %s continues", self._of, extra=self._figures(now) | {"error": text}
            )

    def ended(self) -> None:
        """An attempt has succeeded. Without an outage it logs nothing."""
        if self._began is not None:
            log.info("outage of %s ended", self._of, extra=self._figures(self._clock()))
            self._began = None

    def _figures(self, now: float) -> dict[str, object]:
        seconds = round(now - (self._began or now), 1)
        return {"outageSeconds": seconds, "failures": self._failures}
