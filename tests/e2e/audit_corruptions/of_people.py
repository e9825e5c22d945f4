"""Corruptions of what an erasure leaves."""

from ops.audit import personal
from tests.e2e.audit_corruptions.corruption import Corruption

CORRUPTIONS = (
    Corruption("user", personal.LEFT, "UPDATE users SET name = 'Kim' WHERE user_id = :erased"),
    Corruption(
        "order",
        personal.LEFT,
        "INSERT INTO shipping_addresses (order_id, customer_id, street, postal_code, city) "
        "VALUES (:plain, :erased, '1 Road', '1', 'Seoul')",
    ),
    Corruption(
        "user",
        personal.DONE,
        "UPDATE users SET state = 'ERASING', updated_at = :long_ago WHERE user_id = :erased",
        event="ShippingAddressesErased",
    ),
)
