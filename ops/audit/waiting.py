"""The queues for stock, by the product service's database alone."""

from collections import Counter, defaultdict
from collections.abc import Iterator

import msgspec
from sqlalchemy import Connection, Row, text

from ops.audit.findings import Discrepancy, Result, result

PLACED = "queues: each order that waits has its places, and no other order has one"
SERVED = "queues: no order waits that is first in its queues and whose stock is there"

_Rows = list[Row[tuple[object, ...]]]
_lines = msgspec.json.Decoder(list[dict[str, object]]).decode


def checks(product: Connection) -> list[Result]:
    waiting = product.execute(
        text("SELECT order_id, items FROM holds WHERE state = 'WAITING'")
    ).all()
    query = (
        "SELECT product_id, order_id, ticket, quantity FROM places WHERE waiting ORDER BY ticket"
    )
    places = list(product.execute(text(query)))
    products = list(product.execute(text("SELECT product_id, available, waiting FROM products")))
    return [
        result(PLACED, len(products), _misplaced(list(waiting), places, products)),
        result(SERVED, len(products), _unserved(places, products)),
    ]


def _misplaced(waiting: _Rows, places: _Rows, products: _Rows) -> Iterator[Discrepancy]:
    wanted = {
        (row.order_id, str(line["productId"])) for row in waiting for line in _lines(row.items)
    }
    shown = {(row.order_id, row.product_id) for row in places}
    for order_id, product_id in sorted(wanted ^ shown):
        state = (
            "waits and has no" if (order_id, product_id) in wanted else "does not wait and has a"
        )
        what = f"it {state} place in the queue of product {product_id}"
        yield Discrepancy(check=PLACED, order_id=order_id, entity=product_id, what=what)
    counted = Counter(row.product_id for row in places)
    for row in products:
        if row.waiting != counted[row.product_id]:
            what = f"product {row.product_id} counts {row.waiting}, {counted[row.product_id]} wait"
            yield Discrepancy(check=PLACED, entity=row.product_id, what=what)


def _unserved(places: _Rows, products: _Rows) -> Iterator[Discrepancy]:
    available = {row.product_id: row.available for row in products}
    first: dict[str, str] = {}
    wanted = defaultdict(list)
    for row in places:
        first.setdefault(row.product_id, row.order_id)
        wanted[row.order_id].append(row)
    for order_id, lines in wanted.items():
        if all(
            first[line.product_id] == order_id and available[line.product_id] >= line.quantity
            for line in lines
        ):
            what = "it is the first in each of its queues, and all that it wants is available"
            yield Discrepancy(check=SERVED, order_id=order_id, event="StockDecremented", what=what)
