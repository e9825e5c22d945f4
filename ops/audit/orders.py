"""Each order in all four services: has it ended all or nothing, and was the right sum paid?"""

from collections.abc import Callable, Collection, Iterator
from datetime import datetime

import msgspec
from sqlalchemy import Connection, Row, text

from ops.audit.delivery import Deliveries, Emitted
from ops.audit.findings import Discrepancy, Result, Unjudged, result
from ops.audit.sources import Databases, moment
from ops.audit.tolerance import Tolerance
from saga.choreography.graph import Choreography

PAID = "orders: what was captured is what completed orders owe"
SAME = "orders: same lines, sums and coupon everywhere"
ENDED = "orders: an ended order has ended everywhere"
TIMELY = "orders: nothing unsettled is older than the limit"

_DONE = {"coupon": "SETTLED", "product": "SOLD", "payment": "CAPTURED"}
_LIVE = {
    "coupon": {"HELD", "SETTLED"},
    "product": {"WAITING", "HELD", "SOLD"},
    "payment": {"INTENT", "CAPTURED", "REFUNDING"},
}
_UNSETTLED = {
    "order": {"PENDING", "EXPIRING", "WAITING", "WAIT_EXPIRING", "CANCELLING"},
    "coupon": {"HELD"},
    "product": {"WAITING", "HELD"},
    "payment": {"INTENT", "REFUNDING"},
}

_QUERIES = {
    "order": """SELECT order_id, state, customer_id, items, total_amount, discount_amount,
        payable_amount, coupon_id, updated_at FROM orders""",
    "coupon": "SELECT order_id, state, issued_coupon_id, discount_amount, updated_at FROM holds",
    "product": "SELECT order_id, state, items, updated_at FROM holds",
    "payment": "SELECT order_id, state, customer_id, amount, updated_at FROM payments",
}


class _Line(msgspec.Struct, frozen=True, order=True, rename="camel"):
    product_id: str
    quantity: int
    price: int


_lines = msgspec.json.Decoder(list[_Line]).decode


class Order:
    """One order: its row in each service that has one, and its events."""

    def __init__(self, order_id: str) -> None:
        self.order_id = order_id
        self.rows: dict[str, Row[tuple[object, ...]]] = {}
        self.emitted: list[Emitted] = []

    def state(self, service: str) -> str:
        return str(self.rows[service].state) if service in self.rows else "missing"

    @property
    def states(self) -> str:
        return ", ".join(f"{service} {self.state(service)}" for service in _QUERIES)

    @property
    def last_event(self) -> str:
        last = max(self.emitted, key=lambda emitted: emitted.created_at, default=None)
        return last.name if last else "none"

    @property
    def last_moved_at(self) -> datetime:
        rows = (moment(row.updated_at) for row in self.rows.values())
        return max([*rows, *(emitted.created_at for emitted in self.emitted)])

    @property
    def is_waiting(self) -> bool:
        """For stock, by the product service's row."""
        return self.state("product") == "WAITING"

    @property
    def open_since(self) -> datetime | None:
        """Since when it is unsettled; the time in the queue for stock does not count."""
        times = [
            moment(self.rows[service].updated_at)
            for service, states in _UNSETTLED.items()
            if self.state(service) in states
        ]
        if not times:
            return None
        if any(emitted.name == "StockWaitlisted" for emitted in self.emitted):
            return max(min(times), moment(self.rows["product"].updated_at))
        return min(times)

    @property
    def lines(self) -> list[_Line]:
        """As ordered; as held, where the order is younger than the snapshot of its service."""
        row = self.rows.get("order") or self.rows.get("product")
        return _lines(row.items) if row else []

    @property
    def captured(self) -> int:
        taken = self.state("payment") in ("CAPTURED", "REFUNDING")
        return int(self.rows["payment"].amount) if taken else 0

    @property
    def discount(self) -> int:
        """By the coupon service's row: coupons decide discounts."""
        live = self.state("coupon") in _LIVE["coupon"]
        return int(self.rows["coupon"].discount_amount) if live else 0

    @property
    def owed(self) -> int:
        """Computed from the lines."""
        if self.state("order") != "COMPLETED":
            return 0
        lines = _lines(self.rows["order"].items)
        return sum(line.price * line.quantity for line in lines) - self.discount


class Orders:
    """Every order that any service knows. `checked` are those that are not under way."""

    def __init__(self, databases: Databases, deliveries: Deliveries, tolerance: Tolerance) -> None:
        self._tolerance = tolerance
        self.all: dict[str, Order] = {}
        for service, query in _QUERIES.items():
            self._add(service, databases[service], query)
        for emitted in deliveries.emitted:
            if emitted.key in self.all:
                self.all[emitted.key].emitted.append(emitted)
        self._under_way = deliveries.under_way
        self._held_back = deliveries.held_back
        self.checked = [
            order
            for order in self.all.values()
            if order.order_id not in self._under_way and tolerance.is_quiet(order.last_moved_at)
        ]

    def _add(self, service: str, connection: Connection, query: str) -> None:
        for row in connection.execute(text(query)):
            self.all.setdefault(row.order_id, Order(row.order_id)).rows[service] = row

    def unjudged(self, waiting: Collection[str]) -> Iterator[Unjudged]:
        """The orders that are under way, but for those that wait for a service in recovery mode."""
        checked = {order.order_id for order in self.checked}
        for order_id in self.all:
            if order_id not in checked and order_id not in waiting:
                yield Unjudged.of(order_id, self._under_way)

    def waiting(self, choreography: Choreography) -> list[str]:
        """The orders that wait for the service in recovery mode."""
        recovering = self._tolerance.recovering
        if recovering is None:
            return []
        return [
            order.order_id
            for order in self.all.values()
            if order.order_id in self._held_back
            or (order.open_since and _producers_of_awaited(order, choreography) == {recovering})
        ]

    def checks(self, choreography: Choreography) -> list[Result]:
        return [
            self._each(PAID, _paid),
            self._each(SAME, _same),
            self._each(ENDED, _ended),
            result(TIMELY, len(self.all), self._overdue(choreography)),
        ]

    def _each(self, check: str, find: Callable[[Order], Iterator[Discrepancy]]) -> Result:
        found = (discrepancy for order in self.checked for discrepancy in find(order))
        return result(check, len(self.checked), found)

    def _overdue(self, choreography: Choreography) -> Iterator[Discrepancy]:
        excepted = set(self.waiting(choreography))
        for order in self.all.values():
            since = order.open_since
            if since is None or (order.is_waiting and self._tolerance.may_wait(since)):
                continue
            if self._tolerance.is_over(since) and order.order_id not in excepted:
                yield Discrepancy(
                    check=TIMELY,
                    order_id=order.order_id,
                    event=" or ".join(_awaited(order, choreography)),
                    what=f"unsettled: {order.states}; last event: {order.last_event}",
                    age=self._tolerance.age_text(since),
                )


def _paid(order: Order) -> Iterator[Discrepancy]:
    if order.state("order") == "CANCELLING":
        return  # the money may be under way back
    if order.captured != order.owed:
        yield Discrepancy(
            check=PAID,
            order_id=order.order_id,
            event="PaymentCompleted" if order.captured else None,
            what=f"{order.state('order')}: it owes {order.owed} KRW, {order.captured} were taken",
        )
    if order.captured and "order" in order.rows:
        payer, customer = order.rows["payment"].customer_id, order.rows["order"].customer_id
        if payer != customer:
            what = f"customer {payer} paid for customer {customer}"
            yield Discrepancy(check=PAID, order_id=order.order_id, what=what)


def _same(order: Order) -> Iterator[Discrepancy]:
    """For completed orders; the others keep nothing that could differ."""
    if order.state("order") != "COMPLETED":
        return
    own = order.rows["order"]
    lines = _lines(own.items)
    stored = {"total": own.total_amount, "discount": own.discount_amount, "sum": own.payable_amount}
    total = sum(line.price * line.quantity for line in lines)
    right = {"total": total, "discount": order.discount, "sum": total - order.discount}
    for name, amount in stored.items():
        if amount != right[name]:
            what = f"its {name} is {amount} KRW, by its lines and coupon {right[name]}"
            yield Discrepancy(check=SAME, order_id=order.order_id, what=what)
    if order.state("product") in _LIVE["product"]:
        sold = _lines(order.rows["product"].items)
        if sorted(sold) != sorted(lines):
            what = f"ordered were {_listed(lines)}, sold {_listed(sold)}"
            yield Discrepancy(check=SAME, order_id=order.order_id, what=what)
    if order.state("coupon") in _LIVE["coupon"]:
        held = order.rows["coupon"].issued_coupon_id
        if held != own.coupon_id:
            what = f"the order names issued coupon {own.coupon_id}, the coupon service {held}"
            yield Discrepancy(check=SAME, order_id=order.order_id, what=what)


def _ended(order: Order) -> Iterator[Discrepancy]:
    state = order.state("order")
    if state in _UNSETTLED["order"]:
        return
    for service, done in _DONE.items():
        found = order.state(service)
        wrong = found != done if state == "COMPLETED" else found in _LIVE[service]
        if wrong:
            yield Discrepancy(
                check=ENDED,
                order_id=order.order_id,
                event=_that_would_end(order, service),
                what=f"the order is {state}, but {service}'s row is {found}",
            )


_UNWINDING = {
    "payment": ["PaymentRefunded", "PaymentRefundFailed"],
    "product": ["StockRestored"],
    "coupon": ["CouponRestored"],
    "order": ["OrderCancelled"],
}
_UNWOUND_BY = {
    "payment": "OrderCancelRequested",
    "product": "PaymentRefunded",
    "coupon": "StockRestored",
}


def _that_would_end(order: Order, service: str) -> str:
    """The event that the service should have received, or emitted."""
    if order.state("order") == "missing":
        return "OrderCreated"
    if order.state("order") == "CANCELLED":
        return _UNWOUND_BY[service]
    if order.state("order") == "COMPLETED" or service == "payment":
        return "PaymentCompleted"
    refused_by_product = service == "coupon" and order.state("product") == "REFUSED"
    return "StockUnavailable" if refused_by_product else "PaymentFailed"


def _awaited(order: Order, choreography: Choreography) -> list[str]:
    """What has to follow the last event about the order: one of these."""
    if order.state("order") == "CANCELLING":
        waiting = (each for each, live in _LIVE.items() if order.state(each) in live)
        return _UNWINDING[next(reversed(list(waiting)), "order")]
    if order.state("payment") in _UNSETTLED["payment"]:
        return ["PaymentCompleted", "PaymentFailed"]
    if order.is_waiting:
        return ["StockDecremented", "StockUnavailable"]
    last = choreography.contract.named(order.last_event)
    following = choreography.following(last) if last else []
    if following:
        return [event.__name__ for event in following]
    behind = (name for name in _DONE if order.state(name) in _UNSETTLED.get(name, ()))
    return [_that_would_end(order, next(behind, "coupon"))]


def _producers_of_awaited(order: Order, choreography: Choreography) -> set[str]:
    """The services that may publish what has to follow."""
    events = (choreography.contract.named(name) for name in _awaited(order, choreography))
    return {service for event in events if event for service in choreography.producers(event)}


def _listed(lines: list[_Line]) -> str:
    return ", ".join(f"{line.quantity} x {line.product_id}" for line in lines)
