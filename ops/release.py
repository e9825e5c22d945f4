"""`make release`: end a service's recovery mode, after an audit.

It refuses while an order is wrong or can't be judged, because what the service publishes then can't
be taken back. Orders that are under way and wait for this very service don't hold it up.
"""

from rich.console import Console

from infra.stack import config, processes, starting
from infra.stack.config import StackError
from ops import audit_command, deployment
from ops.audit import CannotRead, Verdict, judge

_WAIT_SECONDS = 15.0


def release(service: str, console: Console, *, force: bool) -> None:
    """Raises StackError when the audit speaks against it, unless it is forced."""
    objection = _objection(service, console)
    if objection and not force:
        raise StackError(
            f"{service} stays in recovery mode: {objection}. Correct or acknowledge what is wrong "
            f"(make audit), or override it: make release SERVICE={service} FORCE=1"
        )
    if objection:
        console.print(f"FORCE=1 overrides: {objection}", markup=False, soft_wrap=True)
    if deployment.find().stack is None:
        console.print(f"{service} can be started without QUARANTINE=1 now.")
        return
    stack = processes.running_stack()
    config.recovery_marker(stack, service).unlink(missing_ok=True)
    processes.stop(stack, service)
    starting.start_and_wait(stack, service)
    console.print(f"{service} handles commands and publishes events again.")


def _objection(service: str, console: Console) -> str | None:
    """Why the service should not be released; None: nothing speaks against it."""
    try:
        # Without a quiet time, or customers who go on ordering would hold the release up.
        report = judge(wait_seconds=_WAIT_SECONDS, quiet_seconds=0, recovering=service)
    except CannotRead as problem:
        return str(problem).rstrip(".")
    audit_command.show(report, console)
    return None if report.verdict is Verdict.CLEAN else audit_command.verdict(report)
