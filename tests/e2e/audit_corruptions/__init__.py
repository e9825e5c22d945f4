"""What the audit must find: for every check, corruptions of a service's database."""

from tests.e2e.audit_corruptions import of_events, of_money, of_orders, of_people, of_stock
from tests.e2e.audit_corruptions.corruption import Corruption

__all__ = ["CORRUPTIONS", "Corruption"]

CORRUPTIONS = (
    *of_money.CORRUPTIONS,
    *of_stock.CORRUPTIONS,
    *of_orders.CORRUPTIONS,
    *of_events.CORRUPTIONS,
    *of_people.CORRUPTIONS,
)
