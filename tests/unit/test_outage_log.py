"""The log of an outage: one line at its beginning, one a minute, and one at its end."""

import logging

import pytest

from chassis.observability.outage_log import OutageLog


def test_outage_is_logged_at_its_beginning_once_a_minute_and_at_its_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    seconds = 100.0
    outage = OutageLog("the broker", lambda: seconds)
    outage.ended()
    for attempt in range(16 * 150):  # two and a half minutes
        seconds = 100 + attempt / 16
        outage.failed(ConnectionRefusedError("refused") if attempt else TimeoutError())
    seconds = 250.0
    outage.ended()
    outage.ended()
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "outage of the broker began"),
        ("WARNING", "outage of the broker continues"),
        ("WARNING", "outage of the broker continues"),
        ("INFO", "outage of the broker ended"),
    ]
    began, minute, _, ended = (vars(record) for record in caplog.records)
    assert began["error"] == "TimeoutError()"
    assert (minute["outageSeconds"], minute["failures"], minute["error"]) == (60, 961, "refused")
    assert (ended["outageSeconds"], ended["failures"]) == (150, 2400)


def test_next_outage_is_counted_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    outage = OutageLog("publishing")
    for _ in range(2):
        outage.failed("no leader")
        outage.ended()
    assert [record.getMessage() for record in caplog.records] == [
        "outage of publishing began",
        "outage of publishing ended",
    ] * 2
    assert vars(caplog.records[3])["failures"] == 1
