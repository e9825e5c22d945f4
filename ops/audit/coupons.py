"""Coupons, by the coupon service's database alone."""

from sqlalchemy import Connection

from ops.audit.findings import Result, SqlCheck

ISSUED = "coupons: as many issued as counted, none too many"
ONE_ORDER = "coupons: each is held by at most one live order"
BOTH_SIDES = "coupons: coupon and order name each other"

_SQL_CHECKS = (
    SqlCheck(
        check=ISSUED,
        counted="SELECT COUNT(*) FROM coupons",
        wrong="""
            SELECT c.coupon_id, c.issued, c.quantity, COALESCE(i.given, 0) AS given
            FROM coupons c LEFT JOIN (
                SELECT coupon_id, COUNT(*) AS given FROM issued_coupons GROUP BY coupon_id
            ) i ON i.coupon_id = c.coupon_id
            WHERE c.issued <> COALESCE(i.given, 0) OR c.issued > c.quantity
            UNION ALL
            SELECT i.coupon_id, 0, 0, COUNT(*) FROM issued_coupons i
            WHERE NOT EXISTS (SELECT 1 FROM coupons c WHERE c.coupon_id = i.coupon_id)
            GROUP BY i.coupon_id
        """,
        what="coupon {coupon_id} counts {issued} issued of {quantity}, customers have {given}",
    ),
    SqlCheck(
        check=ONE_ORDER,
        counted="SELECT COUNT(*) FROM issued_coupons",
        wrong="""
            SELECT h.order_id, h.issued_coupon_id, h.state, n.orders
            FROM holds h JOIN (
                SELECT issued_coupon_id, COUNT(*) AS orders FROM holds
                WHERE state IN ('HELD', 'SETTLED') AND issued_coupon_id IS NOT NULL
                GROUP BY issued_coupon_id HAVING COUNT(*) > 1
            ) n ON n.issued_coupon_id = h.issued_coupon_id
            WHERE h.state IN ('HELD', 'SETTLED')
        """,
        what="issued coupon {issued_coupon_id} is {state} here and live in {orders} orders",
    ),
    SqlCheck(
        check=BOTH_SIDES,
        counted="SELECT COUNT(*) FROM issued_coupons",
        wrong="""
            SELECT h.order_id, h.issued_coupon_id,
                h.state AS here, COALESCE(i.order_id, 'no order') AS there
            FROM holds h LEFT JOIN issued_coupons i ON i.issued_coupon_id = h.issued_coupon_id
            WHERE h.state IN ('HELD', 'SETTLED') AND h.issued_coupon_id IS NOT NULL
                AND (i.order_id IS NULL OR i.order_id <> h.order_id)
            UNION ALL
            SELECT i.order_id, i.issued_coupon_id,
                COALESCE(h.state, 'missing'), 'this order'
            FROM issued_coupons i LEFT JOIN holds h ON h.order_id = i.order_id
            WHERE i.order_id IS NOT NULL AND (
                h.order_id IS NULL OR h.state NOT IN ('HELD', 'SETTLED')
                OR h.issued_coupon_id IS NULL OR h.issued_coupon_id <> i.issued_coupon_id
            )
        """,
        what="the order's row is {here}, issued coupon {issued_coupon_id} names {there}",
    ),
)


def checks(coupon: Connection) -> list[Result]:
    return [each.run(coupon) for each in _SQL_CHECKS]
