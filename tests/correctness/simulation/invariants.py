"""What must hold in a schedule: the audit's checks, and what no single audit can see.

The audit runs unchanged on the simulated databases, streams and gateway, so each schedule tests the
audit too.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from events.contract import CONTRACT
from ops.audit import card_payments, coupons, sales, stock, waiting, wallets
from ops.audit.card_payments import Posting
from ops.audit.delivery import Deliveries
from ops.audit.findings import Result
from ops.audit.orders import Orders
from ops.audit.stream import Contents, Held
from ops.audit.tolerance import Tolerance
from order.domain import STATES, OrderState
from payment.domain import GatewayOutcome
from saga.choreography.graph import Choreography
from saga.envelope import EVENT_ID
from tests.correctness.simulation.gateway import Gateway
from tests.correctness.simulation.machines import EPOCH, PARTICIPANTS, Cluster

MAX_CLOCK_SKEW = timedelta(hours=1)
"""No simulated clock is further ahead. Rows of one that is would be younger than the audit."""

_FLOW = Choreography([each.reactions for each in PARTICIPANTS.values()], CONTRACT)
_STATUS = {state: status.value for status, states in STATES.items() for state in states}


def rows(cluster: Cluster, service: str, query: str) -> list[Any]:
    return cluster.disks[service].rows(query)


def states(cluster: Cluster, service: str) -> dict[str, str]:
    """The state of each order's row at this service."""
    query = f"SELECT order_id, state FROM {PARTICIPANTS[service].saga_rows.name}"  # noqa: S608 - a table's name
    return {row[0]: row[1] for row in rows(cluster, service, query)}


def statuses(cluster: Cluster) -> dict[str, str]:
    """What clients see."""
    return {
        order_id: _STATUS[OrderState(state)] for order_id, state in states(cluster, "order").items()
    }


def dead_letters(cluster: Cluster, service: str) -> list[int]:
    """The dead letters that were not redriven."""
    query = "SELECT id FROM dead_letters WHERE redriven_at IS NULL"
    return [row[0] for row in rows(cluster, service, query)]


def unsettled(cluster: Cluster) -> list[str]:
    """What is still under way anywhere; empty at rest."""
    found = [
        f"{machine.name} is not connected"
        for machine in cluster.machines
        if machine.service is None or not machine.service.broker.connected
    ]
    for service, participant in PARTICIPANTS.items():
        found += [
            f"{service} {order_id}: {state}"
            for order_id, state in states(cluster, service).items()
            if state in participant.unsettled
        ]
        query = "SELECT count(*) FROM outbox WHERE published_at IS NULL"
        if rows(cluster, service, query)[0][0]:
            found.append(f"{service} has unpublished events")
        found += [f"{service} has a dead letter"] * len(dead_letters(cluster, service))
    top_ups = rows(cluster, "payment", "SELECT 1 FROM top_ups WHERE retry_at IS NOT NULL")
    found += ["a top-up"] * len(top_ups)
    for name, stream in cluster.hub.streams.items():
        for service, durable in stream.durables.items():
            if durable.pending or durable.next_sequence <= len(stream.messages):
                found.append(f"{service} has not consumed all of {name}")
    return found


def unserved(cluster: Cluster) -> Iterator[str]:
    """Orders that wait for stock and could be served. There are none at any time."""
    if rows(cluster, "product", "SELECT 1 FROM places WHERE waiting LIMIT 1"):
        yield from _discrepancies(waiting.checks(cluster.disks["product"].connection))


def violations(cluster: Cluster, placed: Mapping[str, str]) -> list[str]:
    """Everything that does not hold at rest. `placed`: the accepted orders by their request."""
    return [
        *_lost_orders(cluster, placed),
        *_discrepancies(_audit(cluster)),
        *_served_out_of_turn(cluster),
        *_price_projection(cluster),
        *_uncommitted(cluster),
        *_dead_letters_without_a_bug(cluster),
    ]


def _audit(cluster: Cluster) -> list[Result]:
    databases = {service: disk.connection for service, disk in cluster.disks.items()}
    tolerance = Tolerance(
        began_at=EPOCH + timedelta(seconds=cluster.loop.time()) + MAX_CLOCK_SKEW,
        quiet_seconds=0,
        limit_seconds=0,
        inbox_seconds=0,
        wait_seconds=0,
    )
    deliveries = Deliveries(databases, _FLOW, {}, tolerance)
    orders = Orders(databases, deliveries, tolerance)
    return [
        *wallets.checks(databases["payment"]),
        *stock.checks(databases["product"]),
        *waiting.checks(databases["product"]),
        *coupons.checks(databases["coupon"]),
        *orders.checks(_FLOW),
        *sales.checks(databases["product"]),
        *deliveries.checks(_contents(cluster)),
        *card_payments.checks(
            list(_statement(cluster.gateway)),
            card_payments.charges(databases["payment"]),
            tolerance,
        ),
    ]


def _discrepancies(results: list[Result]) -> Iterator[str]:
    return (str(found) for result in results for found in result.discrepancies)


def _contents(cluster: Cluster) -> dict[str, Contents]:
    """The streams, as the audit reads them from a broker."""
    return {
        name: Contents(
            0,
            {
                sequence: Held(message.subject, message.headers[EVENT_ID])
                for sequence, message in enumerate(stream.messages, start=1)
            },
        )
        for name, stream in cluster.hub.streams.items()
    }


def _statement(gateway: Gateway) -> Iterator[Posting]:
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
        yield f"order {order_id} was accepted and is lost"
    if len(known) > len(set(placed.values())):
        yield f"{len(known)} orders, {len(placed)} were placed"


def _served_out_of_turn(cluster: Cluster) -> Iterator[str]:
    """Orders that waited for a product are served in the order of their tickets."""
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
    query = "SELECT product_id, version, available = 0 FROM products"
    for product, *actual in rows(cluster, "product", query):
        if projected.get(product) != tuple(actual):
            found = projected.get(product)
            yield f"product {product}: version and sold out are {actual}, projected {found}"


def _uncommitted(cluster: Cluster) -> Iterator[str]:
    """What is published was committed before."""
    query = "SELECT event_id FROM outbox"
    committed = {row[0] for service in PARTICIPANTS for row in rows(cluster, service, query)}
    for stream in cluster.hub.streams.values():
        for message in stream.messages:
            if message.headers[EVENT_ID] not in committed:
                yield f"{message.subject} was published and never committed"


def _dead_letters_without_a_bug(cluster: Cluster) -> Iterator[str]:
    query = "SELECT subject, error FROM dead_letters WHERE reason != 'RAISED'"
    for service in PARTICIPANTS:
        if dead := rows(cluster, service, query):
            yield f"{service} has dead letters: {dead[:3]}"


def history(cluster: Cluster) -> tuple[str, set[tuple[str, str, str]]]:
    """All that was emitted, in order, and the edges of the choreography that were walked."""
    emitted: list[Any] = []
    names: dict[str, str] = {}
    causes: list[tuple[str, str, str]] = []
    query = "SELECT event_id, name, cause_id, created_at, stream_sequence FROM outbox ORDER BY id"
    for service in PARTICIPANTS:
        for row in rows(cluster, service, query):
            event_id, name, cause_id, *_ = row
            emitted.append(row)
            names[event_id] = name
            if cause_id:
                causes.append((cause_id, service, name))
    edges = {(names[cause], service, name) for cause, service, name in causes if cause in names}
    return repr(emitted), edges
