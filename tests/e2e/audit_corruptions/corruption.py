"""A corruption of a service's database, and the audit check that must find it."""

import msgspec


class Corruption(msgspec.Struct, frozen=True):
    """The statements `sql` change the database of `service`; the audit check `check` must find it.

    Statements are separated by semicolons. Their parameters are names of
    `tests.e2e.audit_fixtures.Names`, and so is `order`. `event` is the missing event, if there is
    one.
    """

    service: str
    check: str
    sql: str
    order: str | None = None
    event: str | None = None

    def __str__(self) -> str:
        return f"{self.check} / {self.sql}"
