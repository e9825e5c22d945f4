"""Do money, stock, coupons and events add up? Asked of the services' databases, the stream, and the
statements of the payment gateway and the data platform.

    python -m ops audit [--quiet-seconds 5] [--limit-seconds 60] [--json]

It trusts nothing that it audits: it reads with SQL of its own and shares no code with the services
but the choreography, which says who listens to what.

It may run beside live traffic, and then what is under way is not mistaken for what is lost:

- Each database is read in one transaction, so whatever stands in one database alone (a wallet and
  its ledger) is judged at any moment.
- How far each consumer has come is read first, then the databases, then the stream and the
  statements. So an event that its reader had acknowledged must be in the inbox, and one
  that was noted as published must be in the stream. An order with an event that is neither is
  *under way* and left alone, for `limit_seconds` at the most.
- What stands in several databases is judged of orders that are not under way and have been quiet
  for `quiet_seconds`.

When everything is known to have ended, a test can ask for more: `quiet_seconds=0, limit_seconds=0`
takes whatever is still on its way for lost.
"""

from ops.audit.findings import CannotRead, Discrepancy, Report, Result
from ops.audit.inspection import audit, inspect

__all__ = ["CannotRead", "Discrepancy", "Report", "Result", "audit", "inspect"]
