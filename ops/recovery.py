"""`make recovery`: what a service in recovery mode has found, adopted and still misses."""

from typing import Any

from rich.console import Console

from ops import deployment, routes


def show(service: str, console: Console) -> None:
    """Print the running recovery, or the last one. Raises StackError."""
    report = _report(service)
    if report["beganAt"] is None:
        console.print(f"{service} was never in recovery mode.")
        return
    console.print(_state(service, report), soft_wrap=True)
    for finding in report["findings"]:
        line = f"{finding['kind']} {finding['name']} {finding['key']}: {finding['what']}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if (more := report["total"] - len(report["findings"])) > 0:
        console.print(f"... and {more} more")
    if report["active"]:
        console.print(_next_step(service, report), soft_wrap=True)


def _state(service: str, report: dict[str, Any]) -> str:
    undelivered = report["undelivered"]
    waiting = "an unknown number of" if undelivered is None else undelivered
    ended = f"released {report['releasedAt']}" if report["releasedAt"] else "not released"
    return (
        f"{service}: in recovery mode since {report['beganAt']}, {ended}\n"
        f"  {report['adopted']} events of its own adopted, {waiting} events of others to handle, "
        f"{report['unpublished']} new events to publish after the release"
    )


def _next_step(service: str, report: dict[str, Any]) -> str:
    if report["undelivered"] != 0:
        return "It still replays the streams: look again in a while."
    return (
        "It has caught up. Book what is SHORT (POST /api/v1/ops/recovery/bookings; it stays listed "
        f"here), look at make audit, then: make release SERVICE={service}"
    )


def _report(service: str) -> dict[str, Any]:
    report: dict[str, Any] = routes.call(deployment.find(), service, "GET", "recovery").json()
    return report
