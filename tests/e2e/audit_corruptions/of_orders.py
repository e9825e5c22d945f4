"""Lies about orders and their coupons."""

from ops.audit import coupons, orders
from tests.e2e.audit_corruptions.lie import Lie

LIES = (
    Lie(
        "product",
        orders.TIMELY,
        "UPDATE holds SET updated_at = :long_ago WHERE order_id = :waiting",
        order="waiting",
        event="StockDecremented or StockUnavailable",
    ),
    Lie(
        "order",
        orders.ENDED,
        "UPDATE orders SET state = 'FAILED' WHERE order_id = :waiting",
        order="waiting",
        event="PaymentFailed",
    ),
    Lie(
        "coupon",
        coupons.ISSUED,
        (
            "UPDATE coupons SET issued = 0 WHERE coupon_id = (SELECT coupon_id FROM "
            "issued_coupons WHERE issued_coupon_id = :coupon)"
        ),
    ),
    Lie(
        "coupon",
        coupons.ONE_ORDER,
        "UPDATE holds SET issued_coupon_id = :coupon WHERE order_id = :plain",
        order="plain",
    ),
    Lie(
        "coupon",
        coupons.BOTH_SIDES,
        "UPDATE issued_coupons SET order_id = NULL WHERE order_id = :paid",
        order="paid",
    ),
    Lie(
        "coupon",
        coupons.BOTH_SIDES,
        "UPDATE issued_coupons SET order_id = :short WHERE issued_coupon_id = :spare",
        order="short",
    ),
    Lie(
        "payment",
        orders.PAID,
        "UPDATE payments SET amount = amount - 100 WHERE order_id = :plain",
        order="plain",
        event="PaymentCompleted",
    ),
    Lie(
        "payment",
        orders.PAID,
        "UPDATE payments SET state = 'CAPTURED' WHERE order_id = :poor",
        order="poor",
        event="PaymentCompleted",
    ),
    Lie(
        "payment",
        orders.PAID,
        "UPDATE payments SET customer_id = :pauper WHERE order_id = :plain",
        order="plain",
    ),
    Lie(
        "order",
        orders.SAME,
        "UPDATE orders SET discount_amount = 1 WHERE order_id = :paid",
        order="paid",
    ),
    Lie(
        "order",
        orders.SAME,
        "UPDATE orders SET coupon_id = NULL WHERE order_id = :paid",
        order="paid",
    ),
    Lie(
        "product",
        orders.SAME,
        (
            "UPDATE holds SET items = (SELECT items FROM holds WHERE order_id = :paid) WHERE "
            "order_id = :plain"
        ),
        order="plain",
    ),
    Lie(
        "coupon",
        orders.ENDED,
        "UPDATE holds SET state = 'HELD' WHERE order_id = :plain",
        order="plain",
        event="PaymentCompleted",
    ),
    Lie(
        "product",
        orders.ENDED,
        "UPDATE holds SET state = 'HELD' WHERE order_id = :plain",
        order="plain",
        event="PaymentCompleted",
    ),
    Lie(
        "payment",
        orders.ENDED,
        "DELETE FROM payments WHERE order_id = :plain",
        order="plain",
        event="PaymentCompleted",
    ),
    Lie(
        "product",
        orders.ENDED,
        "UPDATE holds SET state = 'HELD' WHERE order_id = :poor",
        order="poor",
        event="PaymentFailed",
    ),
    Lie(
        "coupon",
        orders.ENDED,
        "UPDATE holds SET state = 'HELD' WHERE order_id = :short",
        order="short",
        event="StockUnavailable",
    ),
    Lie(
        "order",
        orders.ENDED,
        "DELETE FROM orders WHERE order_id = :plain",
        order="plain",
        event="OrderCreated",
    ),
    Lie(
        "order",
        orders.TIMELY,
        (
            "DELETE FROM outbox WHERE key = :plain AND name = 'OrderCompleted'; UPDATE orders "
            "SET state = 'PENDING', updated_at = :long_ago WHERE order_id = :plain"
        ),
        order="plain",
        event="OrderCompleted",
    ),
    Lie(
        "coupon",
        orders.TIMELY,
        "UPDATE holds SET state = 'HELD', updated_at = :long_ago WHERE order_id = :plain",
        order="plain",
        event="PaymentCompleted",
    ),
    Lie(
        "order",
        orders.PAID,
        "UPDATE orders SET state = 'COMPLETED' WHERE order_id = :cancelled",
        order="cancelled",
        event=None,
    ),
    Lie(
        "order",
        orders.PAID,
        "UPDATE orders SET state = 'CANCELLED' WHERE order_id = :plain",
        order="plain",
        event="PaymentCompleted",
    ),
    Lie(
        "product",
        orders.ENDED,
        "UPDATE holds SET state = 'SOLD' WHERE order_id = :cancelled",
        order="cancelled",
        event="PaymentRefunded",
    ),
    Lie(
        "coupon",
        orders.ENDED,
        "UPDATE holds SET state = 'SETTLED' WHERE order_id = :cancelled",
        order="cancelled",
        event="StockRestored",
    ),
    Lie(
        "order",
        orders.TIMELY,
        "UPDATE orders SET state = 'CANCELLING', updated_at = :long_ago "
        "WHERE order_id = :cancelled",
        order="cancelled",
        event="OrderCancelled",
    ),
    Lie(
        "payment",
        orders.TIMELY,
        "UPDATE payments SET state = 'INTENT', updated_at = :long_ago WHERE order_id = :card",
        order="card",
        event="PaymentCompleted or PaymentFailed",
    ),
)
