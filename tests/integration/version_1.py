"""The tables of schema version 1 that later versions change, as that version created them."""

from collections.abc import Mapping

from sqlalchemy import Connection

TABLES: Mapping[str, str] = {
    "payment": """
        CREATE TABLE wallets (
            customer_id VARCHAR(36) NOT NULL,
            balance BIGINT NOT NULL CHECK (balance >= 0),
            created_at {time} NOT NULL,
            updated_at {time} NOT NULL,
            PRIMARY KEY (customer_id)
        );
        CREATE TABLE wallet_ledger (
            id {id} NOT NULL,
            customer_id VARCHAR(36) NOT NULL,
            kind VARCHAR(32) NOT NULL,
            delta BIGINT NOT NULL,
            balance_after BIGINT NOT NULL CHECK (balance_after >= 0),
            order_id VARCHAR(36),
            top_up_id VARCHAR(36),
            created_at {time} NOT NULL,
            PRIMARY KEY (id),
            CONSTRAINT entrykind CHECK (kind IN ('OPENING', 'CHARGE', 'PAYMENT', 'REFUND')),
            UNIQUE (top_up_id)
        );
        CREATE UNIQUE INDEX wallet_ledger_once_an_order ON wallet_ledger (order_id, kind);
        CREATE INDEX wallet_ledger_of_customer ON wallet_ledger (customer_id, id);
        INSERT INTO wallets VALUES ('c', 70, '2026-11-01', '2026-11-02');
        INSERT INTO wallet_ledger (customer_id, kind, delta, balance_after, order_id, created_at)
            VALUES ('c', 'OPENING', 100, 100, NULL, '2026-11-01'),
                ('c', 'PAYMENT', -30, 70, 'o', '2026-11-02')
    """,
    "order": """
        CREATE TABLE orders (
            order_id VARCHAR(36) NOT NULL,
            customer_id VARCHAR(36) NOT NULL,
            state VARCHAR(32) NOT NULL,
            fail_reason VARCHAR(32),
            items TEXT NOT NULL,
            total_amount BIGINT NOT NULL,
            discount_amount BIGINT NOT NULL,
            payable_amount BIGINT NOT NULL,
            coupon_id VARCHAR(36),
            payment_method VARCHAR(32) NOT NULL,
            address TEXT,
            attempt INTEGER NOT NULL,
            queue_position INTEGER,
            created_at {time} NOT NULL,
            completed_at {time},
            updated_at {time} NOT NULL,
            from_cart BOOLEAN NOT NULL,
            PRIMARY KEY (order_id),
            CONSTRAINT orderstate CHECK (state IN ('PENDING', 'EXPIRING', 'WAITING',
                'WAIT_EXPIRING', 'COMPLETED', 'CANCELLING', 'CANCELLED', 'FAILED')),
            CONSTRAINT failreason CHECK (fail_reason IN ('COUPON_NOT_FOUND', 'COUPON_NOT_OWNED',
                'COUPON_ALREADY_USED', 'COUPON_EXPIRED', 'COUPON_MIN_AMOUNT', 'INSUFFICIENT_STOCK',
                'PRODUCT_NOT_FOUND', 'PRODUCT_DISCONTINUED', 'WAIT_EXPIRED', 'INSUFFICIENT_BALANCE',
                'WALLET_NOT_FOUND', 'PG_DECLINED', 'ORDER_TIMED_OUT', 'SYSTEM_ERROR')),
            CONSTRAINT paymentmethod CHECK (payment_method IN ('WALLET', 'CARD'))
        );
        CREATE INDEX orders_by_time ON orders (created_at);
        CREATE INDEX orders_of_customer ON orders (customer_id, created_at);
        CREATE INDEX orders_cancelled ON orders (created_at) WHERE state IN ('CANCELLED');
        CREATE INDEX orders_completed ON orders (created_at)
            WHERE state IN ('CANCELLING', 'COMPLETED');
        CREATE INDEX orders_failed ON orders (created_at) WHERE state IN ('FAILED');
        CREATE INDEX orders_pending ON orders (created_at) WHERE state IN ('EXPIRING', 'PENDING');
        CREATE INDEX orders_waiting ON orders (created_at)
            WHERE state IN ('WAITING', 'WAIT_EXPIRING');
        CREATE INDEX orders_unsettled ON orders (updated_at)
            WHERE state IN ('CANCELLING', 'EXPIRING', 'PENDING', 'WAITING', 'WAIT_EXPIRING');
        INSERT INTO orders VALUES
            ('paid', 'c', 'COMPLETED', NULL, '[]', 5, 0, 5, NULL, 'WALLET', NULL, 0, NULL,
                '2026-11-01', '2026-11-01', '2026-11-01', FALSE),
            ('short', 'c', 'FAILED', 'INSUFFICIENT_STOCK', '[]', 5, 0, 5, NULL, 'CARD', NULL, 0,
                NULL, '2026-11-01', NULL, '2026-11-01', FALSE),
            ('open', 'c', 'PENDING', NULL, '[]', 5, 0, 5, 'i', 'WALLET', NULL, 0, NULL,
                '2026-11-01', NULL, '2026-11-01', TRUE)
    """,
    "coupon": """
        CREATE TABLE coupons (
            coupon_id VARCHAR(36) NOT NULL,
            name VARCHAR(200) NOT NULL,
            discount_type VARCHAR(32) NOT NULL,
            discount_value BIGINT NOT NULL,
            min_order_amount BIGINT NOT NULL,
            quantity INTEGER NOT NULL,
            issued INTEGER NOT NULL,
            valid_from {time},
            valid_until {time},
            created_at {time} NOT NULL,
            PRIMARY KEY (coupon_id),
            CONSTRAINT never_one_too_many CHECK (issued BETWEEN 0 AND quantity),
            CONSTRAINT discounttype CHECK (discount_type IN ('FIXED', 'RATE'))
        );
        CREATE TABLE issued_coupons (
            issued_coupon_id VARCHAR(36) NOT NULL,
            coupon_id VARCHAR(36) NOT NULL,
            customer_id VARCHAR(36) NOT NULL,
            discount_type VARCHAR(32) NOT NULL,
            discount_value BIGINT NOT NULL,
            min_order_amount BIGINT NOT NULL,
            valid_from {time},
            valid_until {time},
            order_id VARCHAR(36),
            issued_at {time} NOT NULL,
            used_at {time},
            PRIMARY KEY (issued_coupon_id),
            CONSTRAINT one_for_each_customer UNIQUE (coupon_id, customer_id),
            CONSTRAINT discounttype CHECK (discount_type IN ('FIXED', 'RATE'))
        );
        CREATE INDEX issued_coupons_of_customer ON issued_coupons (customer_id, issued_at);
        INSERT INTO coupons VALUES ('d', 'off', 'FIXED', 5, 0, 3, 1, NULL, NULL, '2026-11-01');
        INSERT INTO issued_coupons VALUES
            ('i', 'd', 'c', 'FIXED', 5, 0, NULL, NULL, NULL, '2026-11-01', NULL)
    """,
    "product": """
        CREATE TABLE products (
            product_id VARCHAR(36) NOT NULL,
            version INTEGER NOT NULL,
            name VARCHAR(200) NOT NULL,
            price BIGINT NOT NULL,
            description TEXT NOT NULL,
            category VARCHAR(200) NOT NULL,
            status VARCHAR(32) NOT NULL,
            available BIGINT NOT NULL CHECK (available >= 0),
            reserved BIGINT NOT NULL CHECK (reserved >= 0),
            waiting INTEGER NOT NULL CHECK (waiting >= 0),
            last_ticket BIGINT NOT NULL,
            created_at {time} NOT NULL,
            updated_at {time} NOT NULL,
            PRIMARY KEY (product_id),
            CONSTRAINT productstatus CHECK (status IN ('ACTIVE', 'DISCONTINUED'))
        );
        CREATE INDEX products_on_offer ON products (status, created_at, product_id);
        CREATE INDEX products_of_category ON products (category, status, created_at);
        CREATE TABLE stock_ledger (
            id {id} NOT NULL,
            product_id VARCHAR(36) NOT NULL,
            request_id VARCHAR(255) NOT NULL,
            delta BIGINT NOT NULL,
            reason VARCHAR(200) NOT NULL,
            order_id VARCHAR(36),
            balance_after BIGINT NOT NULL CHECK (balance_after >= 0),
            created_at {time} NOT NULL,
            booked_by VARCHAR(200),
            PRIMARY KEY (id)
        );
        CREATE INDEX stock_ledger_of_product ON stock_ledger (product_id, id, created_at);
        CREATE UNIQUE INDEX stock_ledger_once_a_request ON stock_ledger (product_id, request_id);
        INSERT INTO products VALUES
            ('p', 1, 'Pie', 5, '', 'meals', 'ACTIVE', 3, 2, 0, 0, '2026-11-01', '2026-11-02'),
            ('q', 1, 'Pea', 5, '', 'meals', 'ACTIVE', 0, 0, 0, 0, '2026-11-02', '2026-11-02'),
            ('r', 1, 'Tea', 5, '', '', 'ACTIVE', 0, 0, 0, 0, '2026-11-02', '2026-11-02');
        INSERT INTO stock_ledger
            (product_id, request_id, delta, reason, order_id, balance_after, created_at)
            VALUES ('p', 'INITIAL', 5, '', NULL, 5, '2026-11-01'),
                ('p', 'DEC-o', -2, 'ORDER', 'o', 3, '2026-11-02')
    """,
}
"""The statements for each service, with a few rows."""


def create(connection: Connection, service: str) -> None:
    is_sqlite = connection.dialect.name == "sqlite"
    types = {"id": "INTEGER", "time": "DATETIME"}
    if not is_sqlite:
        types = {"id": "BIGSERIAL", "time": "TIMESTAMP WITH TIME ZONE"}
    for statement in TABLES[service].format(**types).split(";"):
        connection.exec_driver_sql(statement)
