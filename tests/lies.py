"""What the audit must find: for every check, something false that a database might say."""

import msgspec

from infra.stack.audit import (
    card_payments,
    coupons,
    delivery,
    orders,
    platform_deliveries,
    sales,
    stock,
    waiting,
    wallets,
)


class Lie(msgspec.Struct, frozen=True):
    """A change of one service's database, and what the audit must say to it.

    `sql` are statements with semicolons between them. It calls things by the names of
    `tests.books.Names`; `order` is such a name, too.
    """

    service: str
    check: str
    sql: str
    order: str | None = None
    event: str | None = None

    def __str__(self) -> str:
        return f"{self.check} / {self.sql}"


LIES = (
    Lie(
        "payment",
        wallets.SUM,
        "UPDATE wallets SET balance = balance + 7 WHERE customer_id = :customer",
    ),
    Lie("payment", wallets.SUM, "DELETE FROM wallets WHERE customer_id = :customer"),
    Lie(
        "payment", wallets.NEGATIVE, "UPDATE wallets SET balance = -1 WHERE customer_id = :customer"
    ),
    Lie(
        "payment",
        wallets.NEGATIVE,
        "UPDATE wallet_ledger SET balance_after = -1 WHERE order_id = :plain",
        order="plain",
    ),
    Lie(
        "payment",
        wallets.RUNNING,
        "UPDATE wallet_ledger SET balance_after = balance_after + 1 WHERE order_id = :plain",
        order="plain",
    ),
    Lie(
        "payment",
        wallets.ONE_CAPTURE,
        (
            "DROP INDEX wallet_ledger_once_an_order; INSERT INTO wallet_ledger (customer_id, "
            "kind, delta, balance_after, order_id, created_at) SELECT customer_id, kind, delta, "
            "balance_after + delta, order_id, created_at FROM wallet_ledger WHERE order_id = "
            ":plain"
        ),
        order="plain",
    ),
    Lie(
        "payment",
        wallets.BOOKED,
        "DELETE FROM wallet_ledger WHERE order_id = :plain",
        order="plain",
    ),
    Lie(
        "payment",
        wallets.BOOKED,
        (
            "INSERT INTO wallet_ledger (customer_id, kind, delta, balance_after, order_id, "
            "created_at) SELECT customer_id, kind, delta, balance_after + delta, :poor, "
            "created_at FROM wallet_ledger WHERE order_id = :plain"
        ),
        order="poor",
    ),
    Lie(
        "product",
        stock.SUM,
        "UPDATE products SET available = available + 1 WHERE product_id = :product",
    ),
    Lie(
        "product", stock.NEGATIVE, "UPDATE products SET available = -1 WHERE product_id = :product"
    ),
    Lie("product", stock.NEGATIVE, "UPDATE products SET reserved = -1 WHERE product_id = :product"),
    Lie(
        "product",
        stock.RUNNING,
        (
            "UPDATE stock_ledger SET balance_after = balance_after + 1 WHERE request_id = "
            "'DEC-' || :plain"
        ),
        order="plain",
    ),
    Lie(
        "product",
        stock.RESERVED,
        "UPDATE products SET reserved = reserved + 2 WHERE product_id = :product",
    ),
    Lie(
        "product",
        stock.CONSERVED,
        (
            "UPDATE stock_ledger SET delta = delta + 1 WHERE product_id = :product AND "
            "request_id = 'INITIAL'"
        ),
    ),
    Lie(
        "product",
        stock.BOOKED,
        "DELETE FROM stock_ledger WHERE request_id = 'DEC-' || :plain",
        order="plain",
    ),
    Lie(
        "product",
        stock.BOOKED,
        "DELETE FROM stock_ledger WHERE request_id = 'INC-' || :poor",
        order="poor",
    ),
    Lie("product", sales.COUNTED, "DELETE FROM sales WHERE product_id = :product"),
    Lie(
        "product",
        sales.COUNTED,
        "UPDATE sales SET units = units - 1, h07 = h07 - 1 WHERE product_id = :other",
    ),
    Lie("product", sales.BY_HOUR, "UPDATE sales SET h07 = h07 + 1 WHERE product_id = :product"),
    Lie(
        "product",
        waiting.PLACED,
        "DELETE FROM places WHERE order_id = :waiting AND product_id = :product",
        order="waiting",
    ),
    Lie(
        "product",
        waiting.PLACED,
        "UPDATE holds SET state = 'REFUSED' WHERE order_id = :waiting",
        order="waiting",
    ),
    Lie(
        "product",
        waiting.PLACED,
        "UPDATE products SET waiting = 7 WHERE product_id = :product",
    ),
    Lie(
        "product",
        waiting.SERVED,
        "UPDATE places SET quantity = 1 WHERE order_id = :waiting",
        order="waiting",
        event="StockDecremented",
    ),
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
        "product",
        delivery.PUBLISHED,
        (
            "UPDATE outbox SET published_at = NULL, stream_sequence = NULL WHERE key = :plain "
            "AND name = 'StockDecremented'"
        ),
        order="plain",
        event="StockDecremented",
    ),
    Lie(
        "product",
        delivery.IN_STREAM,
        (
            "UPDATE outbox SET stream_sequence = 999999 WHERE key = :plain AND name = "
            "'StockDecremented'"
        ),
        order="plain",
        event="StockDecremented",
    ),
    Lie(
        "payment",
        delivery.IN_STREAM,
        (
            "UPDATE outbox SET stream_sequence = (SELECT stream_sequence FROM outbox WHERE key "
            "= :paid) WHERE key = :plain"
        ),
        order="plain",
        event="PaymentCompleted",
    ),
    *(
        Lie(
            service,
            delivery.REACHED,
            f"DELETE FROM inbox WHERE key = :{about} AND name = '{event}'",  # noqa: S608
            None if about == "product" else about,
            event,
        )
        for service, about, event in (
            ("coupon", "plain", "OrderCreated"),
            ("product", "plain", "CouponUsed"),
            ("payment", "plain", "StockDecremented"),
            ("order", "plain", "PaymentCompleted"),
            ("product", "plain", "PaymentCompleted"),
            ("coupon", "plain", "PaymentCompleted"),
            ("order", "refused", "CouponRejected"),
            ("order", "short", "StockUnavailable"),
            ("coupon", "short", "StockUnavailable"),
            ("order", "poor", "PaymentFailed"),
            ("product", "poor", "PaymentFailed"),
            ("coupon", "poor", "PaymentFailed"),
            ("coupon", "poor", "StockRestored"),
            ("order", "product", "ProductChanged"),
            ("dataplatform", "plain", "OrderCompleted"),
        )
    ),
    Lie(
        "payment",
        wallets.TOP_UPS,
        "UPDATE wallet_ledger SET top_up_id = NULL WHERE customer_id = :customer "
        "AND top_up_id IS NOT NULL",
    ),
    Lie("payment", wallets.TOP_UPS, "DELETE FROM top_ups WHERE customer_id = :customer"),
    Lie(
        "payment",
        card_payments.CAPTURED,
        "UPDATE payments SET amount = amount + 1 WHERE order_id = :card",
        order="card",
    ),
    Lie(
        "payment",
        card_payments.CAPTURED,
        "UPDATE payments SET state = 'FAILED' WHERE order_id = :card",
        order="card",
    ),
    Lie(
        "payment",
        card_payments.CAPTURED,
        "UPDATE payments SET state = 'CAPTURED' WHERE order_id = :refunded",
        order="refunded",
    ),
    Lie(
        "payment",
        card_payments.CAPTURED,
        "UPDATE top_ups SET state = 'FAILED' WHERE customer_id = :customer",
    ),
    Lie("payment", card_payments.NOBODYS, "DELETE FROM payments WHERE order_id = :card"),
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
    Lie(
        "dataplatform",
        platform_deliveries.OWED,
        "DELETE FROM deliveries WHERE order_id = :plain",
        order="plain",
        event="OrderCompleted",
    ),
    Lie(
        "dataplatform",
        platform_deliveries.OWED,
        "DELETE FROM deliveries WHERE order_id = :cancelled",
        order="cancelled",
        event="OrderCompleted",
    ),
    Lie(
        "dataplatform",
        platform_deliveries.OWED,
        "UPDATE deliveries SET order_id = :poor WHERE order_id = :plain",
        order="poor",
    ),
    Lie(
        "dataplatform",
        platform_deliveries.ACCEPTED,
        "UPDATE deliveries SET order_id = :poor WHERE order_id = :plain",
        order="poor",
    ),
    Lie(
        "dataplatform",
        platform_deliveries.ACCEPTED,
        "DELETE FROM deliveries WHERE order_id = :plain",
    ),
)
