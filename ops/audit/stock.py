"""Stock, by the product service's database alone."""

from collections import Counter
from collections.abc import Iterator

import msgspec
from sqlalchemy import Connection, text

from ops.audit.findings import Discrepancy, Result, SqlCheck, result

SUM = "stock: what is available is the sum of the ledger"
NEGATIVE = "stock: never below zero"
RUNNING = "stock: the running balance is unbroken"
RESERVED = "stock: what is reserved is what open orders hold"
CONSERVED = "stock: initial + in - out = available + held + sold"
BOOKED = "stock: each order's bookings fit its state"

_SQL_CHECKS = (
    SqlCheck(
        check=SUM,
        counted="SELECT COUNT(*) FROM products",
        wrong="""
            SELECT p.product_id, CAST(p.available AS TEXT) AS available,
                COALESCE(l.booked, 0) AS booked
            FROM products p LEFT JOIN (
                SELECT product_id, SUM(delta) AS booked FROM stock_ledger GROUP BY product_id
            ) l ON l.product_id = p.product_id
            WHERE p.available <> COALESCE(l.booked, 0)
            UNION ALL
            SELECT l.product_id, 'no row', SUM(l.delta) FROM stock_ledger l
            WHERE NOT EXISTS (SELECT 1 FROM products p WHERE p.product_id = l.product_id)
            GROUP BY l.product_id
        """,
        what="product {product_id} has {available}, its ledger adds up to {booked}",
    ),
    SqlCheck(
        check=NEGATIVE,
        counted="SELECT COUNT(*) FROM products",
        wrong="""
            SELECT product_id, available, reserved, NULL AS order_id FROM products
            WHERE available < 0 OR reserved < 0
            UNION ALL
            SELECT product_id, balance_after, 0, order_id FROM stock_ledger
            WHERE balance_after < 0 AND NOT EXISTS (SELECT 1 FROM recoveries)
        """,
        what="product {product_id} has, or had, {available} available and {reserved} reserved",
    ),
    SqlCheck(
        check=RUNNING,
        counted="SELECT COUNT(*) FROM stock_ledger",
        wrong="""
            SELECT * FROM (
                SELECT id, product_id, order_id, delta, balance_after, COALESCE(
                    LAG(balance_after) OVER (PARTITION BY product_id ORDER BY id), 0
                ) AS balance_before
                FROM stock_ledger
            ) AS steps
            WHERE balance_after <> balance_before + delta
        """,
        what="ledger row {id} of product {product_id} goes from {balance_before} by {delta} "
        "to {balance_after}",
    ),
)


class _Line(msgspec.Struct, rename="camel"):
    product_id: str
    quantity: int


class Hold(msgspec.Struct):
    order_id: str
    state: str
    lines: list[_Line]


_decode = msgspec.json.Decoder(list[_Line]).decode


def checks(product: Connection) -> list[Result]:
    holds = read_holds(product)
    return [
        *(each.run(product) for each in _SQL_CHECKS),
        _reserved(product, holds),
        _conserved(product, holds),
        _booked(product, holds),
    ]


def read_holds(product: Connection) -> list[Hold]:
    rows = product.execute(text("SELECT order_id, state, items FROM holds")).all()
    return [Hold(row.order_id, row.state, _decode(row.items)) for row in rows]


def units_by_product(holds: list[Hold], *states: str) -> Counter[str]:
    """The units of each product in the holds that are in one of these states."""
    found = Counter[str]()
    for hold in holds:
        if hold.state in states:
            for line in hold.lines:
                found[line.product_id] += line.quantity
    return found


def _reserved(product: Connection, holds: list[Hold]) -> Result:
    held = units_by_product(holds, "HELD")
    rows = product.execute(text("SELECT product_id, reserved FROM products")).all()
    found = (
        Discrepancy(
            check=RESERVED,
            entity=row.product_id,
            what=f"product {row.product_id} has {row.reserved} reserved, open orders hold "
            f"{held[row.product_id]}",
        )
        for row in rows
        if row.reserved != held[row.product_id]
    )
    return result(RESERVED, len(rows), found)


def _conserved(product: Connection, holds: list[Hold]) -> Result:
    ordered = units_by_product(holds, "HELD", "SOLD")
    query = """
        SELECT p.product_id, p.available, CAST(COALESCE(SUM(l.delta), 0) AS BIGINT) AS brought
        FROM products p LEFT JOIN stock_ledger l ON l.product_id = p.product_id
            AND SUBSTR(l.request_id, 1, 4) NOT IN ('DEC-', 'INC-')
        GROUP BY p.product_id, p.available
    """
    rows = product.execute(text(query)).all()
    found = (
        Discrepancy(
            check=CONSERVED,
            entity=row.product_id,
            what=f"product {row.product_id}: {row.brought} came in, {row.available} are "
            f"available and {ordered[row.product_id]} held or sold",
        )
        for row in rows
        if row.brought != row.available + ordered[row.product_id]
    )
    return result(CONSERVED, len(rows), found)


def _booked(product: Connection, holds: list[Hold]) -> Result:
    query = """
        SELECT product_id, request_id, delta FROM stock_ledger
        WHERE SUBSTR(request_id, 1, 4) IN ('DEC-', 'INC-')
    """
    shown = Counter[tuple[str, str, str]]()
    for row in product.execute(text(query)):
        shown[row.request_id[4:], row.request_id[:3], row.product_id] += row.delta
    due = Counter({key: delta for hold in holds for key, delta in _due(hold)})
    wrong = sorted(key for key in {*shown, *due} if shown[key] != due[key])
    found = (
        Discrepancy(
            check=BOOKED,
            order_id=order_id,
            entity=f"{kind} {product_id}",
            what=f"{kind}-{order_id} should book {due[order_id, kind, product_id]} of product "
            f"{product_id}, and books {shown[order_id, kind, product_id]}",
        )
        for order_id, kind, product_id in wrong
    )
    return result(BOOKED, len(holds), found)


def _due(hold: Hold) -> Iterator[tuple[tuple[str, str, str], int]]:
    """What the ledger must show for an order. A tombstone has no lines, so took none."""
    for line in hold.lines:
        if hold.state in ("HELD", "SOLD", "RELEASED"):
            yield (hold.order_id, "DEC", line.product_id), -line.quantity
        if hold.state == "RELEASED":
            yield (hold.order_id, "INC", line.product_id), line.quantity
