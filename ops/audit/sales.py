"""The sales, of which rankings are made, beside the orders that they are the sum of."""

from collections import Counter

from sqlalchemy import Connection, text

from ops.audit.findings import Discrepancy, Question, Result, result
from ops.audit.orders import Orders

COUNTED = "sales: of each product as many units as completed orders have"
BY_HOUR = "sales: a day is the sum of its hours"

_HOURS = " + ".join(f"h{hour:02}" for hour in range(24))

_QUESTION = Question(
    check=BY_HOUR,
    counted="SELECT COUNT(*) FROM sales",
    wrong=f"""
        SELECT day, product_id, units, {_HOURS} AS by_hour FROM sales WHERE units <> {_HOURS}
    """,  # noqa: S608 - the columns' names
    what="of product {product_id} {units} were sold on {day}, by its hours {by_hour}",
)


def checks(product: Connection, orders: Orders) -> list[Result]:
    return [_counted(product, orders), _QUESTION.ask(product)]


def _counted(product: Connection, orders: Orders) -> Result:
    """Units of orders that can't be judged may be counted, or not yet, or taken off too early."""
    query = "SELECT product_id, CAST(SUM(units) AS BIGINT) AS units FROM sales GROUP BY product_id"
    counted = Counter({row.product_id: row.units for row in product.execute(text(query))})
    due, unsure = Counter[str](), Counter[str]()
    judged = {order.order_id for order in orders.judged}
    for order in orders.all.values():
        if order.order_id not in judged:
            into = unsure
        elif order.state("order") in ("COMPLETED", "CANCELLING"):
            into = due
        else:
            continue
        for line in order.lines:
            into[line.product_id] += line.quantity
    products = sorted({*counted, *due})
    found = (
        Discrepancy(
            check=COUNTED,
            what=f"product {each}: {counted[each]} units are counted as sold, completed orders "
            f"have {due[each]}",
        )
        for each in products
        if abs(counted[each] - due[each]) > unsure[each]
    )
    return result(COUNTED, len(products), found)
