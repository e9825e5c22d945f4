"""What must hold in the shop: the audit's checks, and what no single audit can see."""

from collections.abc import Iterator, Mapping

from events.contract import OrderCreated
from ops.audit import card_payments, coupons, sales, stock, waiting, wallets
from ops.audit.card_payments import Posting
from ops.audit.findings import Result
from ops.audit.orders import Orders
from ops.audit.personal import PersonalData
from order.domain import STATES, OrderState
from payment.domain import GatewayOutcome
from tests.correctness.simulation import checks
from tests.correctness.simulation.checks import discrepancies, rows, states
from tests.correctness.simulation.machines import Cluster
from tests.correctness.simulation.shop.gateway import GatewayRecords

_STATUS = {state: status.value for status, each in STATES.items() for state in each}


def statuses(cluster: Cluster) -> dict[str, str]:
    """What clients see."""
    return {
        order_id: _STATUS[OrderState(state)] for order_id, state in states(cluster, "order").items()
    }


def unserved(cluster: Cluster) -> Iterator[str]:
    """Orders that wait for stock and could be served. There are none at any time."""
    if rows(cluster, "product", "SELECT 1 FROM places WHERE waiting LIMIT 1"):
        yield from discrepancies(waiting.checks(cluster.disks["product"].connection))


def violations(cluster: Cluster, placed: Mapping[str, str]) -> list[str]:
    """Everything that does not hold at rest. `placed`: the accepted orders by their request."""
    return [
        *_lost_orders(cluster, placed),
        *discrepancies(_audit(cluster)),
        *_served_out_of_turn(cluster),
        *_price_projection(cluster),
        *_coupons_not_honoured(cluster),
        *_not_erased(cluster),
    ]


def _not_erased(cluster: Cluster) -> Iterator[str]:
    """The audit's checks of personal data, and what the one who stays must have."""
    flow = checks.flow(cluster)
    people = PersonalData(
        checks.databases(cluster), flow.contract.streams, checks.tolerance(cluster)
    )
    yield from discrepancies(people.checks(checks.contents(cluster)))
    for user_id, state in states(cluster, "user").items():
        if state not in ("ACTIVE", "ERASED"):
            yield f"the erasure of user {user_id} ended as {state}"
    opened = "SELECT customer_id FROM wallet_ledger WHERE kind = 'OPENING'"
    found = [row[0] for row in rows(cluster, "payment", opened)]
    yield from (f"wallet {each} was opened twice" for each in set(found) if found.count(each) > 1)


def _audit(cluster: Cluster) -> list[Result]:
    databases, tolerance = checks.databases(cluster), checks.tolerance(cluster)
    orders = Orders(databases, checks.deliveries(cluster), tolerance)
    gateway = cluster.external
    assert isinstance(gateway, GatewayRecords)
    return [
        *wallets.checks(databases["payment"]),
        *stock.checks(databases["product"]),
        *waiting.checks(databases["product"]),
        *coupons.checks(databases["coupon"]),
        *orders.checks(checks.flow(cluster)),
        *sales.checks(databases["product"]),
        *card_payments.checks(
            list(_statement(gateway)),
            card_payments.charges(databases["payment"]),
            tolerance,
        ),
    ]


def _statement(gateway: GatewayRecords) -> Iterator[Posting]:
    """What the gateway has captured and given back, all of it before the audit began."""
    for key, (outcome, amount) in gateway.charges.items():
        if outcome is GatewayOutcome.CAPTURED:
            yield Posting(0, key, "CAPTURE", amount, 0.0)
    for outcome, key, amount in gateway.refunds.values():
        if outcome is GatewayOutcome.REFUNDED:
            yield Posting(0, key, "REFUND", amount, 0.0)


def _lost_orders(cluster: Cluster, placed: Mapping[str, str]) -> Iterator[str]:
    known = statuses(cluster)
    for order_id in set(placed.values()) - known.keys():
        # A restored database brings back what was published.
        if not cluster.restored["order"] or checks.is_in_stream(cluster, OrderCreated, order_id):
            yield f"order {order_id} was accepted and is lost"
    if not cluster.restored["order"] and len(known) > len(set(placed.values())):
        yield f"{len(known)} orders, {len(placed)} were placed"


def _served_out_of_turn(cluster: Cluster) -> Iterator[str]:
    """Orders that waited for a product are served in the order of their tickets.

    A restored service books what it adopts in the order of the stream, where what was published
    again comes later.
    """
    if cluster.restored["product"]:
        return
    query = """
        SELECT p.product_id, p.ticket, p.order_id FROM stock_ledger l
        JOIN places p ON p.product_id = l.product_id AND p.order_id = l.order_id
        WHERE l.delta < 0 ORDER BY l.id
    """
    last: dict[str, int] = {}
    for product, ticket, order_id in rows(cluster, "product", query):
        if ticket < last.get(product, 0):
            yield f"order {order_id} came before others and was served after them"
        last[product] = ticket


def _price_projection(cluster: Cluster) -> Iterator[str]:
    """The order service's price projection agrees with the product service."""
    query = "SELECT product_id, version, sold_out FROM price_list"
    projected = {row[0]: tuple(row[1:]) for row in rows(cluster, "order", query)}
    query = "SELECT product_id, version, available <= 0 FROM products"
    for product, *actual in rows(cluster, "product", query):
        if projected.get(product) != tuple(actual):
            found = projected.get(product)
            yield f"product {product}: version and sold out are {actual}, projected {found}"


def _coupons_not_honoured(cluster: Cluster) -> Iterator[str]:
    """Orders that were accepted before their coupon ended, and failed because it had."""
    query = "SELECT issued_coupon_id, valid_until FROM issued_coupons WHERE valid_until IS NOT NULL"
    ends = {row[0]: row[1] for row in rows(cluster, "coupon", query)}
    query = (
        "SELECT order_id, coupon_id, created_at FROM orders WHERE fail_reason = 'COUPON_EXPIRED'"
    )
    for order_id, coupon_id, accepted_at in rows(cluster, "order", query):
        if coupon_id in ends and accepted_at < ends[coupon_id]:
            yield f"order {order_id} of {accepted_at} was refused a coupon that ended later"
