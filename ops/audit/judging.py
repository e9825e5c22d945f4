"""The audit of a shop that is in use: it looks again at what could not be judged at once."""

import os
import time
from collections.abc import Mapping

import msgspec

from ops.audit.findings import Report, Verdict
from ops.audit.inspection import LIMIT_SECONDS, QUIET_SECONDS, inspect

_PAUSE_SECONDS = 1.0


def judge(
    environment: Mapping[str, str] = os.environ,
    *,
    wait_seconds: float,
    quiet_seconds: float = QUIET_SECONDS,
    limit_seconds: float = LIMIT_SECONDS,
    recovering: str | None = None,
) -> Report:
    """Look until each order of the first look is judged or wrong.

    Under load some order is always under way, and each one only for a moment. It ends after
    `wait_seconds` from the first look on, however long that takes. Raises CannotRead.
    """
    end: float | None = None
    left: set[str] | None = None
    while True:
        report = inspect(
            environment,
            quiet_seconds=quiet_seconds,
            limit_seconds=limit_seconds,
            recovering=recovering,
        )
        unjudged = tuple(each for each in report.unjudged if left is None or each.key in left)
        report = msgspec.structs.replace(report, unjudged=unjudged)
        left = {each.key for each in unjudged}
        end = time.monotonic() + wait_seconds if end is None else end
        if report.verdict is not Verdict.NOT_JUDGED or time.monotonic() >= end:
            return report
        time.sleep(_PAUSE_SECONDS)
