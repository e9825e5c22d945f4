"""What the audit must find: for every check, something false that a database might say."""

from tests.e2e.audit_corruptions import of_events, of_money, of_orders, of_shelves
from tests.e2e.audit_corruptions.lie import Lie

__all__ = ["LIES", "Lie"]

LIES = (*of_money.LIES, *of_shelves.LIES, *of_orders.LIES, *of_events.LIES)
