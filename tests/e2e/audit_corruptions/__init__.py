"""What the audit must find: for every check, something false that a database might say."""

from tests.e2e.audit_corruptions import of_events, of_money, of_orders, of_shelves
from tests.e2e.audit_corruptions.corruption import Corruption

__all__ = ["CORRUPTIONS", "Corruption"]

CORRUPTIONS = (
    *of_money.CORRUPTIONS,
    *of_shelves.CORRUPTIONS,
    *of_orders.CORRUPTIONS,
    *of_events.CORRUPTIONS,
)
