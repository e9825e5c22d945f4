"""Reads the four databases, the stream and the gateway's books, and says what does not add up."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from events.contract import CONTRACT
from order.domain import STATES, OrderState
from payment.domain import payment_id
from saga.choreography.graph import Choreography
from tests.correctness.simulation.machines import PARTICIPANTS, Cluster

_STATUS = {state: status.value for status, states in STATES.items() for state in states}
_HEARERS = {
    event.__name__: flow.consumers(event)
    for flow in [Choreography([each.reactions for each in PARTICIPANTS.values()], CONTRACT)]
    for event in flow.contract
}
_DONE = {"coupon": "SETTLED", "product": "SOLD", "payment": "CAPTURED"}
_UNDONE = {
    "coupon": {None, "REFUSED", "RELEASED"},
    "product": {None, "REFUSED", "RELEASED"},
    "payment": {None, "FAILED", "REFUNDED"},
}


def rows(cluster: Cluster, service: str, query: str) -> list[Any]:
    return cluster.disks[service].rows(query)


def states(cluster: Cluster, service: str) -> dict[str, str]:
    """The state of each order's row at this service."""
    query = f"SELECT order_id, state FROM {PARTICIPANTS[service].saga_rows.name}"  # noqa: S608
    return {row[0]: row[1] for row in rows(cluster, service, query)}


def statuses(cluster: Cluster) -> dict[str, str]:
    """What clients see."""
    return {
        order_id: _STATUS[OrderState(state)] for order_id, state in states(cluster, "order").items()
    }


def dead_letters(cluster: Cluster, service: str) -> list[int]:
    """What was set aside and not put back."""
    query = "SELECT id FROM dead_letters WHERE redriven_at IS NULL"
    return [row[0] for row in rows(cluster, service, query)]


def unsettled(cluster: Cluster) -> list[str]:
    """What is still under way anywhere; empty once there is rest."""
    found = [
        f"{machine.name} is not connected"
        for machine in cluster.machines
        if machine.service is None or not machine.service.broker.connected
    ]
    for service, participant in PARTICIPANTS.items():
        waiting = [
            f"{order_id}: {state}"
            for order_id, state in states(cluster, service).items()
            if state in participant.unsettled
        ]
        found += [f"{service} {each}" for each in waiting]
        query = "SELECT count(*) FROM outbox WHERE published_at IS NULL"
        if rows(cluster, service, query)[0][0]:
            found.append(f"{service} has unpublished events")
    for service in PARTICIPANTS:
        found += [f"{service} has a dead letter"] * len(dead_letters(cluster, service))
    top_ups = rows(cluster, "payment", "SELECT 1 FROM top_ups WHERE retry_at IS NOT NULL")
    found += ["a top-up"] * len(top_ups)
    for name, stream in cluster.hub.streams.items():
        for service, durable in stream.durables.items():
            if durable.pending or durable.next_sequence <= len(stream.messages):
                found.append(f"{service} has not heard all of {name}")
    return found


def wrong(cluster: Cluster, placed: Mapping[str, str]) -> list[str]:
    """Everything that does not hold at rest."""
    return [
        *_orders(cluster, placed),
        *_wallets(cluster),
        *_stock(cluster),
        *_turns(cluster),
        *_price_list(cluster),
        *_sales(cluster),
        *_coupons(cluster),
        *_money(cluster),
        *_events(cluster),
    ]


def _orders(cluster: Cluster, placed: Mapping[str, str]) -> Iterator[str]:
    ends = statuses(cluster)
    for order_id in set(placed.values()) - ends.keys():
        yield f"order {order_id} was accepted and is lost"
    if len(ends) > len(set(placed.values())):
        yield f"{len(ends)} orders, {len(placed)} were placed"
    others = {service: states(cluster, service) for service in _DONE}
    for order_id, status in ends.items():
        for service, rows_ in others.items():
            state = rows_.get(order_id)
            if status == "COMPLETED" and state != _DONE[service]:
                yield f"order {order_id} is COMPLETED, {service} has {state}"
            if status in ("FAILED", "CANCELLED") and state not in _UNDONE[service]:
                yield f"order {order_id} is {status}, {service} has {state}"
            if status in ("PENDING", "WAITING"):
                yield f"order {order_id} has not ended"


def _wallets(cluster: Cluster) -> Iterator[str]:
    query = """
        SELECT w.customer_id, w.balance, COALESCE(SUM(l.delta), 0)
        FROM wallets w LEFT JOIN wallet_ledger l ON l.customer_id = w.customer_id
        GROUP BY w.customer_id, w.balance
    """
    for customer, balance, booked in rows(cluster, "payment", query):
        if balance != booked or balance < 0:
            yield f"wallet {customer} has {balance}, its ledger says {booked}"
    query = """
        SELECT order_id FROM wallet_ledger WHERE kind = 'PAYMENT' GROUP BY order_id
        HAVING COUNT(*) > 1
    """
    for (order_id,) in rows(cluster, "payment", query):
        yield f"order {order_id} was paid twice"


def _stock(cluster: Cluster) -> Iterator[str]:
    gone, held = Counter[str](), Counter[str]()
    decode = msgspec.json.decode
    for state, items in rows(cluster, "product", "SELECT state, items FROM holds"):
        for line in decode(items):
            if state in ("HELD", "SOLD"):
                gone[line["productId"]] += line["quantity"]
            if state == "HELD":
                held[line["productId"]] += line["quantity"]
    query = """
        SELECT p.product_id, p.available, p.reserved, SUM(l.delta), SUM(
            CASE WHEN SUBSTR(l.request_id, 1, 4) IN ('DEC-', 'INC-') THEN 0 ELSE l.delta END
        ) FROM products p LEFT JOIN stock_ledger l ON l.product_id = p.product_id
        GROUP BY p.product_id, p.available, p.reserved
    """
    for product, available, reserved, booked, brought in rows(cluster, "product", query):
        if available != (booked or 0) or reserved != held[product] or available < 0:
            yield f"product {product}: {available} there, {reserved} reserved, booked {booked}"
        if (brought or 0) != available + gone[product]:
            yield f"product {product}: {brought} came in, {available} there, {gone[product]} gone"


def _price_list(cluster: Cluster) -> Iterator[str]:
    """What carts are shown is what product has."""
    query = "SELECT product_id, version, available = 0 FROM products"
    told = {
        row[0]: tuple(row[1:])
        for row in rows(cluster, "order", "SELECT product_id, version, sold_out FROM price_list")
    }
    for product, *right in rows(cluster, "product", query):
        if told.get(product) != tuple(right):
            yield f"product {product}: version and sold out are {right}, told {told.get(product)}"


def waiting_in_vain(cluster: Cluster) -> list[str]:
    """Whoever is the first in each of its queues while all that it wants is there. At any time."""
    query = """
        SELECT order_id FROM places p JOIN products USING (product_id) WHERE p.waiting
        GROUP BY order_id HAVING MIN(available >= quantity AND ticket = (
            SELECT MIN(ticket) FROM places q WHERE q.product_id = p.product_id AND q.waiting
        ))
    """
    return [f"order {row[0]} waits for what is there" for row in rows(cluster, "product", query)]


def _turns(cluster: Cluster) -> Iterator[str]:
    """Those who had to wait for a product were served in the order in which they came."""
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
    query = "SELECT order_id FROM places WHERE waiting"
    for (order_id,) in rows(cluster, "product", query):
        yield f"order {order_id} has a place in a queue and waits no longer"


def _sales(cluster: Cluster) -> Iterator[str]:
    sold = Counter[str]()
    query = "SELECT items FROM orders WHERE state = 'COMPLETED'"
    for (items,) in rows(cluster, "order", query):
        for line in msgspec.json.decode(items):
            sold[line["productId"]] += line["quantity"]
    query = "SELECT product_id, SUM(units) FROM sales GROUP BY product_id"
    counted = Counter[str](dict(rows(cluster, "product", query)))
    for product in sold.keys() | counted.keys():
        if counted[product] != sold[product]:
            yield f"product {product}: {sold[product]} sold, {counted[product]} are counted"


def _coupons(cluster: Cluster) -> Iterator[str]:
    live = defaultdict(list)
    query = """
        SELECT issued_coupon_id, order_id FROM holds
        WHERE state IN ('HELD', 'SETTLED') AND issued_coupon_id IS NOT NULL
    """
    for coupon, order_id in rows(cluster, "coupon", query):
        live[coupon].append(order_id)
    query = "SELECT issued_coupon_id, order_id FROM issued_coupons"
    for coupon, order_id in rows(cluster, "coupon", query):
        if live[coupon] != ([order_id] if order_id else []):
            yield f"coupon {coupon} names {order_id}, held by {live[coupon]}"


def _money(cluster: Cluster) -> Iterator[str]:
    """What was taken for each order, from the wallet and by the gateway, is what it owes."""
    wallet = Counter[str]()
    for order_id, delta in rows(
        cluster, "payment", "SELECT order_id, delta FROM wallet_ledger WHERE order_id IS NOT NULL"
    ):
        wallet[order_id] -= delta
    gateway, known = cluster.gateway, set()
    query = "SELECT order_id, state, payable_amount FROM orders"
    for order_id, state, payable in rows(cluster, "order", query):
        known.add(payment_id(order_id))
        taken = wallet[order_id] + gateway.captured(payment_id(order_id))
        owed = payable if state == "COMPLETED" else 0
        if taken != owed:
            yield f"order {order_id} is {state} and owes {owed}, {taken} were taken"
    for top_up, state, amount in rows(
        cluster, "payment", "SELECT top_up_id, state, amount FROM top_ups"
    ):
        known.add(top_up)
        if gateway.captured(top_up) != (amount if state == "BOOKED" else 0):
            yield f"top-up {top_up} is {state}, {gateway.captured(top_up)} were taken"
    for key in gateway.charges.keys() - known:
        yield f"the gateway has a charge {key} of nobody"


def _events(cluster: Cluster) -> Iterator[str]:
    """Each event is in the stream where its outbox says, and in every inbox that hears it."""
    inboxes = {
        service: {row[0] for row in rows(cluster, service, "SELECT event_id FROM inbox")}
        for service in PARTICIPANTS
    }
    query = "SELECT event_id, name, stream, stream_sequence, key FROM outbox"
    committed = {row[0] for each in PARTICIPANTS for row in rows(cluster, each, query)}
    for message in cluster.hub.streams["SAGA"].messages:
        if message.headers["ce-id"] not in committed:
            yield f"{message.subject} was published and never committed"
    for service in PARTICIPANTS:
        bugs = "SELECT subject, error FROM dead_letters WHERE reason != 'RAISED'"
        if dead := rows(cluster, service, bugs):
            yield f"{service} has dead letters: {dead[:3]}"
        for event_id, name, stream, sequence, key in rows(cluster, service, query):
            messages = cluster.hub.streams[stream].messages
            there = 0 < sequence <= len(messages)
            if stream == "SAGA" and (
                not there or messages[sequence - 1].headers["ce-id"] != event_id
            ):
                yield f"{name} of {key} is not in the stream at {sequence}"
            for consumer in _HEARERS[name] if stream == "SAGA" else ():
                if event_id not in inboxes[consumer]:
                    yield f"{name} of {key} has not reached {consumer}"


def history(cluster: Cluster) -> tuple[str, set[tuple[str, str, str]]]:
    """All that was said, in order, and the edges of the choreography that were walked."""
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
