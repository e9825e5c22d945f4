"""Corruptions of wallets, top-ups and card payments."""

from ops.audit import card_payments, wallets
from tests.e2e.audit_corruptions.corruption import Corruption

CORRUPTIONS = (
    Corruption(
        "payment",
        wallets.SUM,
        "UPDATE wallets SET balance = balance + 7 WHERE customer_id = :customer",
    ),
    Corruption("payment", wallets.SUM, "DELETE FROM wallets WHERE customer_id = :customer"),
    Corruption(
        "payment", wallets.NEGATIVE, "UPDATE wallets SET balance = -1 WHERE customer_id = :customer"
    ),
    Corruption(
        "payment",
        wallets.NEGATIVE,
        "UPDATE wallet_ledger SET balance_after = -1 WHERE order_id = :plain",
        order="plain",
    ),
    Corruption(
        "payment",
        wallets.RUNNING,
        "UPDATE wallet_ledger SET balance_after = balance_after + 1 WHERE order_id = :plain",
        order="plain",
    ),
    Corruption(
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
    Corruption(
        "payment",
        wallets.BOOKED,
        "DELETE FROM wallet_ledger WHERE order_id = :plain",
        order="plain",
    ),
    Corruption(
        "payment",
        wallets.BOOKED,
        (
            "INSERT INTO wallet_ledger (customer_id, kind, delta, balance_after, order_id, "
            "created_at) SELECT customer_id, kind, delta, balance_after + delta, :poor, "
            "created_at FROM wallet_ledger WHERE order_id = :plain"
        ),
        order="poor",
    ),
    Corruption(
        "payment",
        wallets.TOP_UPS,
        "UPDATE wallet_ledger SET top_up_id = NULL WHERE customer_id = :customer "
        "AND top_up_id IS NOT NULL",
    ),
    Corruption("payment", wallets.TOP_UPS, "DELETE FROM top_ups WHERE customer_id = :customer"),
    Corruption(
        "payment",
        card_payments.CAPTURED,
        "UPDATE payments SET amount = amount + 1 WHERE order_id = :card",
        order="card",
    ),
    Corruption(
        "payment",
        card_payments.CAPTURED,
        "UPDATE payments SET state = 'FAILED' WHERE order_id = :card",
        order="card",
    ),
    Corruption(
        "payment",
        card_payments.CAPTURED,
        "UPDATE payments SET state = 'CAPTURED' WHERE order_id = :refunded",
        order="refunded",
    ),
    Corruption(
        "payment",
        card_payments.CAPTURED,
        "UPDATE top_ups SET state = 'FAILED' WHERE customer_id = :customer",
    ),
    Corruption("payment", card_payments.ORPHANS, "DELETE FROM payments WHERE order_id = :card"),
)
