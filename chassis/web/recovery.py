"""The operators' route that shows what a recovery found."""

from datetime import datetime

from litestar import Controller, get
from sqlalchemy import func, select

from chassis.outbox.relay import backlog
from chassis.recovery import findings
from chassis.recovery.findings import Finding
from chassis.storage.tables import recovery_findings
from chassis.web.access import READERS
from chassis.web.dependencies import AnyService
from chassis.web.schemas import View, refusals
from saga.errors import BrokerAway


class RecoveryReport(View):
    """A recovery, the running one or the last one.

    `adopted`: events of its own that the database lacked. `undelivered`: events of others that are
    not handled yet; null while the broker is away, and until its own are adopted. `unpublished`:
    new events, published after the release. `findings`: the oldest first, at most 1,000 of `total`.
    """

    active: bool
    began_at: datetime | None
    released_at: datetime | None
    adopted: int
    undelivered: int | None
    unpublished: int
    findings: list[Finding]
    total: int


class RecoveryController(Controller):
    path = "/ops/recovery"
    tags = ("operations",)

    @get(
        summary="What recovery mode found, adopted and still misses",
        guards=[READERS],
        responses=refusals(),
    )
    async def get_recovery(self, service: AnyService) -> RecoveryReport:
        """The running recovery, or the last one."""
        async with service.reading() as connection:
            last = await findings.last_recovery(connection)
            found = await findings.listed(connection)
            total = await connection.scalar(select(func.count()).select_from(recovery_findings))
            unpublished, _ = await backlog(connection)
        try:
            undelivered = await service.broker.undelivered()
        except BrokerAway:
            undelivered = None
        return RecoveryReport(
            active=service.settings.recovery_mode,
            began_at=last.began_at if last else None,
            released_at=last.released_at if last else None,
            adopted=last.adopted if last else 0,
            undelivered=undelivered,
            unpublished=unpublished,
            findings=found,
            total=total or 0,
        )
