"""Corruptions of orders and their coupons."""

from ops.audit import coupons, orders
from tests.e2e.audit_corruptions.corruption import Corruption

CORRUPTIONS = (
    Corruption(
        "product",
        orders.TIMELY,
        "UPDATE holds SET updated_at = :long_ago WHERE order_id = :waiting",
        order="waiting",
        event="StockDecremented or StockUnavailable",
    ),
    Corruption(
        "order",
        orders.ENDED,
        "UPDATE orders SET state = 'FAILED' WHERE order_id = :waiting",
        order="waiting",
        event="PaymentFailed",
    ),
    Corruption(
        "coupon",
        coupons.ISSUED,
        (
            "UPDATE coupons SET issued = 0 WHERE coupon_id = (SELECT coupon_id FROM "
            "issued_coupons WHERE issued_coupon_id = :coupon)"
        ),
    ),
    Corruption(
        "coupon",
        coupons.ONE_ORDER,
        "UPDATE holds SET issued_coupon_id = :coupon WHERE order_id = :plain",
        order="plain",
    ),
    Corruption(
        "coupon",
        coupons.BOTH_SIDES,
        "UPDATE issued_coupons SET order_id = NULL WHERE order_id = :paid",
        order="paid",
    ),
    Corruption(
        "coupon",
        coupons.BOTH_SIDES,
        "UPDATE issued_coupons SET order_id = :short WHERE issued_coupon_id = :spare",
        order="short",
    ),
    Corruption(
        "payment",
        orders.PAID,
        "UPDATE payments SET amount = amount - 100 WHERE order_id = :plain",
        order="plain",
        event="PaymentCompleted",
    ),
    Corruption(
        "payment",
        orders.PAID,
        "UPDATE payments SET state = 'CAPTURED' WHERE order_id = :poor",
        order="poor",
        event="PaymentCompleted",
    ),
    Corruption(
        "payment",
        orders.PAID,
        "UPDATE payments SET customer_id = :pauper WHERE order_id = :plain",
        order="plain",
    ),
    Corruption(
        "order",
        orders.SAME,
        "UPDATE orders SET discount_amount = 1 WHERE order_id = :paid",
        order="paid",
    ),
    Corruption(
        "order",
        orders.SAME,
        "UPDATE orders SET coupon_id = NULL WHERE order_id = :paid",
        order="paid",
    ),
    Corruption(
        "product",
        orders.SAME,
        (
            "UPDATE holds SET items = (SELECT items FROM holds WHERE order_id = :paid) WHERE "
            "order_id = :plain"
        ),
        order="plain",
    ),
    Corruption(
        "coupon",
        orders.ENDED,
        "UPDATE holds SET state = 'HELD' WHERE order_id = :plain",
        order="plain",
        event="PaymentCompleted",
    ),
    Corruption(
        "product",
        orders.ENDED,
        "UPDATE holds SET state = 'HELD' WHERE order_id = :plain",
        order="plain",
        event="PaymentCompleted",
    ),
    Corruption(
        "payment",
        orders.ENDED,
        "DELETE FROM payments WHERE order_id = :plain",
        order="plain",
        event="PaymentCompleted",
    ),
    Corruption(
        "product",
        orders.ENDED,
        "UPDATE holds SET state = 'HELD' WHERE order_id = :poor",
        order="poor",
        event="PaymentFailed",
    ),
    Corruption(
        "coupon",
        orders.ENDED,
        "UPDATE holds SET state = 'HELD' WHERE order_id = :short",
        order="short",
        event="StockUnavailable",
    ),
    Corruption(
        "order",
        orders.ENDED,
        "DELETE FROM orders WHERE order_id = :plain",
        order="plain",
        event="OrderCreated",
    ),
    Corruption(
        "order",
        orders.TIMELY,
        (
            "DELETE FROM outbox WHERE key = :plain AND name = 'OrderCompleted'; UPDATE orders "
            "SET state = 'PENDING', updated_at = :long_ago WHERE order_id = :plain"
        ),
        order="plain",
        event="OrderCompleted",
    ),
    Corruption(
        "coupon",
        orders.TIMELY,
        "UPDATE holds SET state = 'HELD', updated_at = :long_ago WHERE order_id = :plain",
        order="plain",
        event="PaymentCompleted",
    ),
    Corruption(
        "order",
        orders.PAID,
        "UPDATE orders SET state = 'COMPLETED' WHERE order_id = :cancelled",
        order="cancelled",
        event=None,
    ),
    Corruption(
        "order",
        orders.PAID,
        "UPDATE orders SET state = 'CANCELLED' WHERE order_id = :plain",
        order="plain",
        event="PaymentCompleted",
    ),
    Corruption(
        "product",
        orders.ENDED,
        "UPDATE holds SET state = 'SOLD' WHERE order_id = :cancelled",
        order="cancelled",
        event="PaymentRefunded",
    ),
    Corruption(
        "coupon",
        orders.ENDED,
        "UPDATE holds SET state = 'SETTLED' WHERE order_id = :cancelled",
        order="cancelled",
        event="StockRestored",
    ),
    Corruption(
        "order",
        orders.TIMELY,
        "UPDATE orders SET state = 'CANCELLING', updated_at = :long_ago "
        "WHERE order_id = :cancelled",
        order="cancelled",
        event="OrderCancelled",
    ),
    Corruption(
        "payment",
        orders.TIMELY,
        "UPDATE payments SET state = 'INTENT', updated_at = :long_ago WHERE order_id = :card",
        order="card",
        event="PaymentCompleted or PaymentFailed",
    ),
)
