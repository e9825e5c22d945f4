"""Corruptions of outboxes, inboxes and deliveries."""

from ops.audit import delivery, platform_deliveries
from tests.e2e.audit_corruptions.corruption import Corruption

CORRUPTIONS = (
    Corruption(
        "product",
        delivery.PUBLISHED,
        (
            "UPDATE outbox SET published_at = NULL, stream_sequence = NULL WHERE key = :plain "
            "AND name = 'StockDecremented'"
        ),
        order="plain",
        event="StockDecremented",
    ),
    Corruption(
        "product",
        delivery.IN_STREAM,
        (
            "UPDATE outbox SET stream_sequence = 999999 WHERE key = :plain AND name = "
            "'StockDecremented'"
        ),
        order="plain",
        event="StockDecremented",
    ),
    Corruption(
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
        Corruption(
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
    Corruption(
        "dataplatform",
        platform_deliveries.RECORDED,
        "DELETE FROM deliveries WHERE order_id = :plain",
        order="plain",
        event="OrderCompleted",
    ),
    Corruption(
        "dataplatform",
        platform_deliveries.RECORDED,
        "DELETE FROM deliveries WHERE order_id = :cancelled",
        order="cancelled",
        event="OrderCompleted",
    ),
    Corruption(
        "dataplatform",
        platform_deliveries.RECORDED,
        "UPDATE deliveries SET order_id = :poor WHERE order_id = :plain",
        order="poor",
    ),
    Corruption(
        "dataplatform",
        platform_deliveries.ACCEPTED,
        "UPDATE deliveries SET order_id = :poor WHERE order_id = :plain",
        order="poor",
    ),
    Corruption(
        "dataplatform",
        platform_deliveries.ACCEPTED,
        "DELETE FROM deliveries WHERE order_id = :plain",
    ),
)
