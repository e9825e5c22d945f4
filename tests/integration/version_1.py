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
            ('p', 1, 'Pie', 5, '', '', 'ACTIVE', 3, 2, 0, 0, '2026-11-01', '2026-11-02');
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
