"""The operators' route of the audit log: who has done what."""

from typing import Annotated

from litestar import Controller, get
from litestar.params import QueryParameter

from chassis import audit_log
from chassis.audit_log import StoredEntry
from chassis.web.access import READERS
from chassis.web.dependencies import AnyService, Page, Paging, shown_as
from chassis.web.schemas import NO_NUL, instant, refusals

Since = Annotated[
    str | None, QueryParameter(description="entries from this time on, RFC 3339 with a zone")
]
Subject = Annotated[
    str | None, QueryParameter(max_length=255, pattern=NO_NUL, description="the id of who did it")
]
ActionName = Annotated[
    str | None,
    QueryParameter(max_length=64, pattern=NO_NUL, description="such as DEAD_LETTER_REDRIVE"),
]
AuditLogPage = Annotated[Page[StoredEntry], shown_as("AuditLogPage")]


class AuditLogController(Controller):
    path = "/ops/audit-log"
    tags = ("operations",)

    @get(summary="What people have done, newest first", guards=[READERS], responses=refusals())
    async def list_audit_log(
        self,
        service: AnyService,
        paging: Paging,
        since: Since = None,
        subject: Subject = None,
        action: ActionName = None,
    ) -> AuditLogPage:
        """What was done, refused or failed in this service, with who and from where.

        An entry can't be changed, and is kept for AUDIT_LOG_DAYS.
        """
        async with service.reading() as connection:
            items, total = await audit_log.page(
                connection,
                since=instant("since", since),
                subject=subject,
                action=action,
                offset=paging.offset,
                size=paging.size,
            )
        return paging.of(items, total)
