"""The saga on DBOS: a workflow of steps behind FastAPI, as its documentation has it.

`STATE_DIR` holds SQLite's files; with `POSTGRES_URL`, everything is on PostgreSQL instead.
"""

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec
from uuid import uuid4

import uvicorn
from dbos import DBOS, DBOSConfig
from fastapi import FastAPI

from bench.peers.steps import PRICE_WON, Postgres, Refused, Sqlite, Steps

P = ParamSpec("P")

folder, server = Path(os.environ["STATE_DIR"]), os.environ.get("POSTGRES_URL")
steps = Steps(Postgres(server) if server else Sqlite(folder))
app = FastAPI()
config: DBOSConfig = {
    "name": "order-saga",
    "system_database_url": f"{server.rpartition('/')[0]}/dbos"
    if server
    else f"sqlite:///{folder}/dbos.sqlite",
    "log_level": "WARNING",
}
DBOS(config=config)


def _step(method: Callable[P, None]) -> Callable[P, None]:
    """DBOS marks the functions that it makes steps of, and a bound method can't be marked."""

    @wraps(method)
    def step(*arguments: P.args, **named: P.kwargs) -> None:
        method(*arguments, **named)

    durable: Callable[P, None] = DBOS.step()(step)
    return durable


create_order = _step(steps.create_order)
use_coupon = _step(steps.use_coupon)
take_stock = _step(steps.take_stock)
pay = _step(steps.pay)
complete_order = _step(steps.complete_order)
restore_coupon = _step(steps.restore_coupon)
restore_stock = _step(steps.restore_stock)
fail_order = _step(steps.fail_order)


@DBOS.workflow()
def saga(order: str, customer: int, product: int, quantity: int) -> str:
    """Gives COMPLETED or FAILED, once that is durable."""
    create_order(order, customer, product, quantity)
    try:
        use_coupon(order)
        take_stock(order, product, quantity)
        pay(order, customer, PRICE_WON * quantity)
    except Refused:
        restore_stock(order, product, quantity)
        restore_coupon(order)
        fail_order(order)
        return "FAILED"
    complete_order(order)
    return "COMPLETED"


@app.post("/orders")
def place(wanted: dict[str, int]) -> str:
    """A plain function: FastAPI runs it in a thread, and DBOS the workflow in the same one."""
    end: str = saga(str(uuid4()), wanted["customer"], wanted["product"], wanted["quantity"])
    return end


if __name__ == "__main__":
    DBOS.launch()
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), access_log=False)
