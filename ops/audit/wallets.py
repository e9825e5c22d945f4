"""Wallets, payments and top-ups, by the payment service's database alone."""

from sqlalchemy import Connection

from ops.audit.findings import Result, SqlCheck

SUM = "wallets: the balance is the sum of the ledger"
NEGATIVE = "wallets: never below zero"
RUNNING = "wallets: the running balance is unbroken"
ONE_CAPTURE = "payments: at most one capture an order"
BOOKED = "payments: the ledger shows each capture, no failure"
TOP_UPS = "top-ups: each is in the ledger once if it was booked, else not"

_SQL_CHECKS = (
    SqlCheck(
        check=SUM,
        counted="SELECT COUNT(*) FROM wallets",
        wrong="""
            SELECT w.customer_id, CAST(w.balance AS TEXT) AS balance,
                COALESCE(l.booked, 0) AS booked
            FROM wallets w LEFT JOIN (
                SELECT customer_id, SUM(delta) AS booked FROM wallet_ledger GROUP BY customer_id
            ) l ON l.customer_id = w.customer_id
            WHERE w.balance <> COALESCE(l.booked, 0)
            UNION ALL
            SELECT l.customer_id, 'no', SUM(l.delta) FROM wallet_ledger l
            WHERE NOT EXISTS (SELECT 1 FROM wallets w WHERE w.customer_id = l.customer_id)
            GROUP BY l.customer_id
        """,
        what="wallet {customer_id} has {balance} KRW, its ledger adds up to {booked}",
    ),
    SqlCheck(
        check=NEGATIVE,
        counted="SELECT COUNT(*) FROM wallets",
        wrong="""
            SELECT customer_id, balance, NULL AS order_id FROM wallets WHERE balance < 0
            UNION ALL
            SELECT customer_id, balance_after, order_id FROM wallet_ledger
            WHERE balance_after < 0 AND NOT EXISTS (SELECT 1 FROM recoveries)
        """,
        what="wallet {customer_id} stands, or stood, at {balance} KRW",
    ),
    SqlCheck(
        check=RUNNING,
        counted="SELECT COUNT(*) FROM wallet_ledger",
        wrong="""
            SELECT * FROM (
                SELECT id, customer_id, order_id, delta, balance_after, COALESCE(
                    LAG(balance_after) OVER (PARTITION BY customer_id ORDER BY id), 0
                ) AS balance_before
                FROM wallet_ledger
            ) AS steps
            WHERE balance_after <> balance_before + delta
        """,
        what="ledger row {id} of wallet {customer_id} goes from {balance_before} by {delta} "
        "to {balance_after} KRW",
    ),
    SqlCheck(
        check=ONE_CAPTURE,
        counted="SELECT COUNT(*) FROM payments WHERE state = 'CAPTURED'",
        wrong="""
            SELECT order_id, COUNT(*) AS captures FROM wallet_ledger
            WHERE kind = 'PAYMENT' GROUP BY order_id HAVING COUNT(*) > 1
            UNION ALL
            SELECT order_id, COUNT(*) FROM payments
            WHERE state = 'CAPTURED' GROUP BY order_id HAVING COUNT(*) > 1
        """,
        what="paid {captures} times",
    ),
    SqlCheck(
        check=BOOKED,
        counted="SELECT COUNT(*) FROM payments",
        wrong="""
            SELECT p.order_id, p.state, p.amount, p.customer_id, COALESCE(l.booked, 0) AS booked
            FROM payments p LEFT JOIN (
                SELECT order_id, customer_id, -SUM(delta) AS booked
                FROM wallet_ledger WHERE order_id IS NOT NULL GROUP BY order_id, customer_id
            ) l ON l.order_id = p.order_id AND l.customer_id = p.customer_id
            WHERE p.method = 'WALLET' AND COALESCE(l.booked, 0) <>
                CASE WHEN p.state IN ('CAPTURED', 'REFUNDING') THEN p.amount ELSE 0 END
            UNION ALL
            SELECT l.order_id, 'missing', 0, l.customer_id, -l.delta FROM wallet_ledger l
            WHERE l.order_id IS NOT NULL AND NOT EXISTS (
                SELECT 1 FROM payments p
                WHERE p.order_id = l.order_id AND p.customer_id = l.customer_id
            )
        """,
        what="the payment of {amount} KRW is {state}, the ledger of wallet {customer_id} "
        "shows {booked} KRW taken for it",
    ),
    SqlCheck(
        check=TOP_UPS,
        counted="SELECT COUNT(*) FROM top_ups",
        wrong="""
            SELECT t.top_up_id, t.state, t.amount, t.customer_id, COALESCE(l.delta, 0) AS booked
            FROM top_ups t LEFT JOIN wallet_ledger l
                ON l.top_up_id = t.top_up_id AND l.customer_id = t.customer_id
            WHERE COALESCE(l.delta, 0) <> CASE WHEN t.state = 'BOOKED' THEN t.amount ELSE 0 END
            UNION ALL
            SELECT l.top_up_id, 'missing', 0, l.customer_id, l.delta FROM wallet_ledger l
            WHERE l.top_up_id IS NOT NULL
                AND NOT EXISTS (SELECT 1 FROM top_ups t WHERE t.top_up_id = l.top_up_id)
        """,
        what="top-up {top_up_id} of {amount} KRW is {state}, the ledger of wallet {customer_id} "
        "shows {booked} KRW",
    ),
)


def checks(payment: Connection) -> list[Result]:
    return [each.run(payment) for each in _SQL_CHECKS]
