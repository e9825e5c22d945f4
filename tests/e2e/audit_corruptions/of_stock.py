"""Corruptions of stock, sales and queues."""

from ops.audit import sales, stock, waiting
from tests.e2e.audit_corruptions.corruption import Corruption

CORRUPTIONS = (
    Corruption(
        "product",
        stock.SUM,
        "UPDATE products SET available = available + 1 WHERE product_id = :product",
    ),
    Corruption(
        "product", stock.NEGATIVE, "UPDATE products SET available = -1 WHERE product_id = :product"
    ),
    Corruption(
        "product", stock.NEGATIVE, "UPDATE products SET reserved = -1 WHERE product_id = :product"
    ),
    Corruption(
        "product",
        stock.RUNNING,
        (
            "UPDATE stock_ledger SET balance_after = balance_after + 1 WHERE request_id = "
            "'DEC-' || :plain"
        ),
        order="plain",
    ),
    Corruption(
        "product",
        stock.RESERVED,
        "UPDATE products SET reserved = reserved + 2 WHERE product_id = :product",
    ),
    Corruption(
        "product",
        stock.CONSERVED,
        (
            "UPDATE stock_ledger SET delta = delta + 1 WHERE product_id = :product AND "
            "request_id = 'INITIAL'"
        ),
    ),
    Corruption(
        "product",
        stock.BOOKED,
        "DELETE FROM stock_ledger WHERE request_id = 'DEC-' || :plain",
        order="plain",
    ),
    Corruption(
        "product",
        stock.BOOKED,
        "DELETE FROM stock_ledger WHERE request_id = 'INC-' || :poor",
        order="poor",
    ),
    Corruption("product", sales.COUNTED, "DELETE FROM sales WHERE product_id = :product"),
    Corruption(
        "product",
        sales.COUNTED,
        "UPDATE sales SET units = units - 1, h07 = h07 - 1 WHERE product_id = :other",
    ),
    Corruption(
        "product", sales.BY_HOUR, "UPDATE sales SET h07 = h07 + 1 WHERE product_id = :product"
    ),
    Corruption(
        "product",
        waiting.PLACED,
        "DELETE FROM places WHERE order_id = :waiting AND product_id = :product",
        order="waiting",
    ),
    Corruption(
        "product",
        waiting.PLACED,
        "UPDATE holds SET state = 'REFUSED' WHERE order_id = :waiting",
        order="waiting",
    ),
    Corruption(
        "product",
        waiting.PLACED,
        "UPDATE products SET waiting = 7 WHERE product_id = :product",
    ),
    Corruption(
        "product",
        waiting.SERVED,
        "UPDATE places SET quantity = 1 WHERE order_id = :waiting",
        order="waiting",
        event="StockDecremented",
    ),
)
