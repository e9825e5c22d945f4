"""The sales, from which rankings are made, compared with the sold orders of the product service."""

from collections import Counter

from sqlalchemy import Connection, text

from ops.audit.findings import Discrepancy, Result, SqlCheck, result
from ops.audit.stock import read_holds, units_by_product

COUNTED = "sales: of each product as many units as sold orders have"
BY_HOUR = "sales: a day is the sum of its hours"

_HOURS = " + ".join(f"h{hour:02}" for hour in range(24))

_SQL_CHECK = SqlCheck(
    check=BY_HOUR,
    counted="SELECT COUNT(*) FROM sales",
    wrong=f"""
        SELECT day, product_id, units, {_HOURS} AS by_hour FROM sales WHERE units <> {_HOURS}
    """,  # noqa: S608 - the columns' names
    what="of product {product_id} {units} were sold on {day}, by its hours {by_hour}",
)


def checks(product: Connection) -> list[Result]:
    return [_counted(product), _SQL_CHECK.run(product)]


def _counted(product: Connection) -> Result:
    """The hold and its sales are written in one transaction, so they agree at any moment."""
    query = "SELECT product_id, CAST(SUM(units) AS BIGINT) AS units FROM sales GROUP BY product_id"
    counted = Counter({row.product_id: row.units for row in product.execute(text(query))})
    sold = units_by_product(read_holds(product), "SOLD")
    products = sorted({*counted, *sold})
    found = (
        Discrepancy(
            check=COUNTED,
            entity=each,
            what=f"product {each}: {counted[each]} units are counted as sold, sold orders have "
            f"{sold[each]}",
        )
        for each in products
        if counted[each] != sold[each]
    )
    return result(COUNTED, len(products), found)
