"""A lie about what happened, and what the audit must say to it."""

import msgspec


class Corruption(msgspec.Struct, frozen=True):
    """A change of one service's database, and what the audit must say to it.

    `sql` are statements with semicolons between them. It calls things by the names of
    `tests.e2e.audit_fixtures.Names`; `order` is such a name, too.
    """

    service: str
    check: str
    sql: str
    order: str | None = None
    event: str | None = None

    def __str__(self) -> str:
        return f"{self.check} / {self.sql}"
