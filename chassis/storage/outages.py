"""Which errors of a database are outages: nothing was kept, and the same succeeds later.

The driver's class is not enough. A PostgreSQL that is read-only for a while (a full disk at a
hosted one) raises an InternalError, and one that has withdrawn the right to write (another way in
which hosted ones limit a full disk) a ProgrammingError.
"""

from sqlalchemy.engine.interfaces import DBAPIModule
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

OUTAGE_STATES = ("08", "25", "40", "42501", "53", "55P03", "57", "58")
"""SQLSTATEs and their classes: connection, state of the transaction (25006: read-only), rolled back
(40P01: deadlock), right withdrawn, resources (53100: disk full, 53300: too many connections), lock
timeout, intervention (57P01: shutdown), system error."""


class OutageErrors:
    """Of one driver: compiled statements raise its errors as they are."""

    def __init__(self, driver: DBAPIModule) -> None:
        self._always = (
            OperationalError,
            InterfaceError,
            PoolTimeoutError,
            OSError,
            driver.OperationalError,
            driver.InterfaceError,
        )

    def include(self, error: Exception) -> bool:
        if isinstance(error, self._always):
            return True
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            return True
        state = getattr(getattr(error, "orig", None) or error, "sqlstate", None)
        return isinstance(state, str) and state.startswith(OUTAGE_STATES)
