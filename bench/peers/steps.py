"""What the peers' sagas do, step by step: the shop's four databases, without the shop's code.

Each step is one transaction in one service's database, and can be done again with no other effect,
for a peer may repeat a step that it had no time to note. SQLite with `synchronous=FULL`, or
PostgreSQL as it comes: every step is on the disk before the next one begins.
"""

import sqlite3
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import psycopg

PRODUCTS = 20
CUSTOMERS = 50
PRICE_WON = 1_000
STOCK = 100_000_000
BALANCE_WON = 1_000_000_000
SERVICES = ("order", "coupon", "product", "payment")

_SCHEMA = {
    "order": "CREATE TABLE orders (id TEXT PRIMARY KEY, customer INTEGER, product INTEGER,"
    " quantity INTEGER, status TEXT)",
    "coupon": "CREATE TABLE orders (id TEXT PRIMARY KEY, coupon TEXT, status TEXT)",
    "product": "CREATE TABLE orders (id TEXT PRIMARY KEY, product INTEGER, quantity INTEGER,"
    " status TEXT); CREATE TABLE stock (product INTEGER PRIMARY KEY, available INTEGER)",
    "payment": "CREATE TABLE orders (id TEXT PRIMARY KEY, customer INTEGER, amount INTEGER,"
    " status TEXT); CREATE TABLE wallets (customer INTEGER PRIMARY KEY, balance BIGINT)",
}

Statement = tuple[str, Sequence[object]]


class Refused(Exception):
    """A step can't be done, for a reason of the business."""


class Databases(ABC):
    """The four services' databases."""

    @abstractmethod
    def once(self, service: str, note: Statement, effect: Statement | None = None) -> None:
        """One transaction: `note` that the step is done, and if it was not, its `effect`.

        Raises Refused, and keeps nothing, where the effect finds no row.
        """


class Sqlite(Databases):
    """A connection a database, for SQLite has one writer anyway."""

    def __init__(self, folder: Path) -> None:
        self._open: dict[str, tuple[sqlite3.Connection, threading.Lock]] = {}
        for service in SERVICES:
            new = not (folder / f"{service}.db").exists()
            file = folder / f"{service}.db"
            database = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
            database.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")
            if new:
                database.executescript(_SCHEMA[service])
                for sql, values in _wares(service):
                    database.execute(sql, values)
            self._open[service] = database, threading.Lock()

    def once(self, service: str, note: Statement, effect: Statement | None = None) -> None:
        database, lock = self._open[service]
        with lock:
            database.execute("BEGIN IMMEDIATE")
            try:
                if database.execute(*note).rowcount and effect:
                    _must_apply(database.execute(*effect).rowcount)
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")


class Postgres(Databases):
    """A few connections a database. `url` is the server's; each service has a database there."""

    def __init__(self, url: str) -> None:
        from psycopg_pool import ConnectionPool  # noqa: PLC0415 - only a peer on PostgreSQL has it

        base = url.rpartition("/")[0]
        with psycopg.connect(url, autocommit=True) as server:
            known = {row[0] for row in server.execute("SELECT datname FROM pg_database")}
            for service in set(SERVICES) - known:
                server.execute(f'CREATE DATABASE "{service}"'.encode())
        self._pools = {
            service: ConnectionPool(f"{base}/{service}", min_size=8, max_size=8, open=True)
            for service in SERVICES
        }
        for service in set(SERVICES) - known:
            with self._pools[service].connection() as database:
                for statement in _SCHEMA[service].split(";"):
                    database.execute(statement.encode())
                for sql, values in _wares(service):
                    database.execute(_for_postgres(sql), values)

    def once(self, service: str, note: Statement, effect: Statement | None = None) -> None:
        with self._pools[service].connection() as database:
            done = database.execute(_for_postgres(note[0]), note[1]).rowcount
            if done and effect:
                _must_apply(database.execute(_for_postgres(effect[0]), effect[1]).rowcount)


class Steps:
    """The saga's steps and what undoes them."""

    def __init__(self, databases: Databases) -> None:
        self._once = databases.once

    def create_order(self, order: str, customer: int, product: int, quantity: int) -> None:
        values = (order, customer, product, quantity, "PENDING")
        self._once(
            "order", ("INSERT INTO orders VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", values)
        )

    def use_coupon(self, order: str) -> None:
        """These orders have no coupon: noted all the same, as the shop's coupon service does."""
        self._once(
            "coupon",
            ("INSERT INTO orders VALUES (?, NULL, 'USED') ON CONFLICT DO NOTHING", (order,)),
        )

    def take_stock(self, order: str, product: int, quantity: int) -> None:
        """Raises Refused where there is not enough."""
        note = "INSERT INTO orders VALUES (?, ?, ?, 'TAKEN') ON CONFLICT DO NOTHING"
        take = "UPDATE stock SET available = available - ? WHERE product = ? AND available >= ?"
        values = (quantity, product, quantity)
        self._once("product", (note, (order, product, quantity)), (take, values))

    def pay(self, order: str, customer: int, amount: int) -> None:
        """Raises Refused where the balance is too low."""
        note = "INSERT INTO orders VALUES (?, ?, ?, 'PAID') ON CONFLICT DO NOTHING"
        take = "UPDATE wallets SET balance = balance - ? WHERE customer = ? AND balance >= ?"
        self._once("payment", (note, (order, customer, amount)), (take, (amount, customer, amount)))

    def complete_order(self, order: str) -> None:
        self._end(order, "COMPLETED")

    # ------------------------------------------------------------ undoing

    def restore_coupon(self, order: str) -> None:
        sql = "UPDATE orders SET status = 'RESTORED' WHERE id = ? AND status = 'USED'"
        self._once("coupon", (sql, (order,)))

    def restore_stock(self, order: str, product: int, quantity: int) -> None:
        sql = "UPDATE orders SET status = 'RESTORED' WHERE id = ? AND status = 'TAKEN'"
        back = "UPDATE stock SET available = available + ? WHERE product = ?"
        self._once("product", (sql, (order,)), (back, (quantity, product)))

    def fail_order(self, order: str) -> None:
        self._end(order, "FAILED")

    def _end(self, order: str, status: str) -> None:
        sql = "UPDATE orders SET status = ? WHERE id = ? AND status = 'PENDING'"
        self._once("order", (sql, (status, order)))


def _wares(service: str) -> list[Statement]:
    if service == "product":
        return [("INSERT INTO stock VALUES (?, ?)", (each, STOCK)) for each in range(PRODUCTS)]
    if service == "payment":
        sql = "INSERT INTO wallets VALUES (?, ?)"
        return [(sql, (each, BALANCE_WON)) for each in range(CUSTOMERS)]
    return []


def _must_apply(rows: int) -> None:
    if not rows:
        raise Refused("not enough")


def _for_postgres(sql: str) -> bytes:
    return sql.replace("?", "%s").encode()
