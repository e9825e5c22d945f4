"""The audit: do money, stock, coupons and events add up?

It compares the services' databases, the streams, and the statements of the payment gateway and the
data platform.

    python -m ops audit [--quiet-seconds 5] [--limit-seconds 60] [--json]

Where each thing that must always hold is checked:

    1  a wallet's balance is the sum of its ledger          wallets.py
    2  money taken and kept is what completed orders owe;   orders.py (from wallets and cards),
       the gateway's statement agrees, both ways            card_payments.py
    3  at most one capture an order, none without a reason  wallets.py, card_payments.py
    4  stock: in - out = available + held + sold            stock.py; queues for stock: waiting.py;
                                                            units counted as sold: sales.py
    5  a coupon is held by at most one live order           coupons.py
    6  an ended order has ended everywhere, all or nothing  orders.py
    7  nothing unsettled is older than the limit;           orders.py
       every event is published, stored and received        delivery.py
    8  what a client sees never goes backwards              not here: one look can't show it, so the
                                                            simulation and the tests check it
    -  nothing is left of an erased user                    personal.py (its columns by their marks)
    -  the data platform gets each completed order once     platform_deliveries.py

inspection.py runs the checks; sources.py, stream.py and the statements are what they read.
judging.py looks again at what could not be judged at once; acknowledgements.py keeps the
discrepancies that operators understand.

The audit relies on nothing that it audits: it reads with SQL of its own and shares no code with the
services but the choreography, which names the consumers of each event, and the declarations of
tables, which mark personal data.

It may run beside live traffic, and does not report what is only under way:

- Each database is read in one transaction, so what one database alone must show (a wallet and its
  ledger) is checked at any moment.
- How far each consumer has come is read first, then the databases, then the streams and the
  statements. So an event that its consumer had acknowledged must be in the inbox, and one that was
  marked as published must be in the stream. An order with an event that is neither is *under way*
  and not checked, for `limit_seconds` at the most.
- What concerns several databases is checked for orders that are not under way and have been quiet
  for `quiet_seconds`.

When everything is known to have ended, a test can ask for more: with `quiet_seconds=0,
limit_seconds=0` whatever is still under way counts as lost.
"""

from ops.audit.findings import CannotRead, Discrepancy, Report, Result, Verdict
from ops.audit.inspection import audit, inspect
from ops.audit.judging import judge

__all__ = [
    "CannotRead",
    "Discrepancy",
    "Report",
    "Result",
    "Verdict",
    "audit",
    "inspect",
    "judge",
]
