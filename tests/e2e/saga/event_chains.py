"""The events of an order, by its end."""

COMPLETED = ["OrderCreated", "CouponUsed", "StockDecremented", "PaymentCompleted", "OrderCompleted"]
NOT_PAID = [*COMPLETED[:3], "PaymentFailed", "OrderFailed", "StockRestored", "CouponRestored"]
"""Those after PaymentFailed may come in any order."""

CANCELLED = [
    "OrderCancelRequested",
    "PaymentRefunded",
    "StockRestored",
    "CouponRestored",
    "OrderCancelled",
]
"""The new events of a cancelled order, after those of COMPLETED."""
