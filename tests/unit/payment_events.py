"""The events of payment about one order, for the tests of their consumers."""

from events.contract import (
    FailReason,
    PaymentCompleted,
    PaymentFailed,
    PaymentMethod,
    PaymentRefunded,
)


def payment_completed(order_id: str = "o") -> PaymentCompleted:
    return PaymentCompleted(
        order_id=order_id,
        payment_id="p",
        customer_id="c",
        method=PaymentMethod.WALLET,
        amount=60,
        discount_amount=7,
    )


def payment_failed(order_id: str = "o") -> PaymentFailed:
    return PaymentFailed(order_id=order_id, reason=FailReason.INSUFFICIENT_BALANCE)


def payment_refunded(order_id: str = "o") -> PaymentRefunded:
    return PaymentRefunded(order_id=order_id, payment_id="p", amount=60, attempt=1)
