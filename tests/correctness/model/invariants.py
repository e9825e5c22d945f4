"""What must always hold in the model, and what must hold once everything has come to rest."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from coupon.domain import HoldState as CouponState
from order.domain import Order, OrderState, OrderStatus
from payment.domain import GatewayOutcome, PaymentState
from product.domain import HoldState as StockState
from tests.correctness.model.locals import Local
from tests.correctness.model.outside import ChargeState, Outside
from tests.correctness.model.scenarios import COUPON, CUSTOMER, PRODUCT

Locals = Mapping[str, Local]

UNSETTLED: dict[str, set[Any]] = {
    "order": {
        OrderState.PENDING,
        OrderState.EXPIRING,
        OrderState.WAITING,
        OrderState.WAIT_EXPIRING,
        OrderState.CANCELLING,
    },
    "coupon": {CouponState.HELD},
    "product": {StockState.WAITING, StockState.HELD},
    "payment": {PaymentState.INTENT, PaymentState.REFUNDING},
}
"""Written down once more: were a state left out in a service, nobody would ask for its orders."""

PARTICIPANT_ROWS = {"order": "orders", "coupon": "holds", "product": "holds", "payment": "payments"}
_TABLE = {"order": 0, "coupon": 0, "product": 0, "payment": 1}

_FORWARD: dict[OrderStatus, set[OrderStatus]] = {
    OrderStatus.PENDING: {OrderStatus.WAITING, OrderStatus.COMPLETED, OrderStatus.FAILED},
    OrderStatus.WAITING: {OrderStatus.COMPLETED, OrderStatus.FAILED},
    OrderStatus.COMPLETED: {OrderStatus.CANCELLED},
    OrderStatus.FAILED: set(),
    OrderStatus.CANCELLED: set(),
}


def participants(service: str, local: Local) -> dict[str, Any]:
    """The service's row of each order."""
    return dict(local.tables[_TABLE[service]])


def unsettled(service: str, local: Local) -> list[str]:
    """The orders that this service waits for, or owes an answer to."""
    rows = participants(service, local)
    return [order_id for order_id, row in rows.items() if row.state in UNSETTLED[service]]


def wrong_step(service: str, before: Local, after: Local) -> Iterator[str]:
    """What a client may not see."""
    if service != "order":
        return
    rows: dict[str, Order] = participants(service, before)
    for order_id, row in participants(service, after).items():
        seen = rows[order_id].status
        if row.status is not seen and row.status not in _FORWARD[seen]:
            yield f"order {order_id[-1]} went from {seen} to {row.status}"


def wrong_local(service: str, local: Local) -> Iterator[str]:
    """What holds in one service at any moment."""
    if service == "payment":
        yield from _wrong_money(local)
    elif service == "product":
        yield from _wrong_stock(local)
        yield from _wrong_queue(local)
    elif service == "coupon":
        yield from _wrong_coupon(local)


def _wrong_money(local: Local) -> Iterator[str]:
    balance = dict(local.tables[0])[CUSTOMER].balance  # type: ignore[attr-defined]
    booked = sum(delta for _, _, delta in local.ledger)
    if balance != booked or balance < 0:
        yield f"the wallet has {balance}, its ledger says {booked}"
    taken = Counter(order for _, order, delta in local.ledger if delta < 0)
    given = Counter(order for _, order, delta in local.ledger if delta > 0 and order)
    for order_id, times in taken.items():
        if times > 1:
            yield f"order {str(order_id)[-1]} was paid {times} times"
    for order_id, times in given.items():
        if times > taken[order_id]:
            yield f"order {str(order_id)[-1]} was refunded more often than paid"


def _wrong_stock(local: Local) -> Iterator[str]:
    product: Any = dict(local.tables[1])[PRODUCT]
    holds = participants("product", local).values()
    gone = sum(
        line.quantity
        for hold in holds
        if hold.state in (StockState.HELD, StockState.SOLD)
        for line in hold.items
    )
    reserved = sum(
        line.quantity for hold in holds if hold.state is StockState.HELD for line in hold.items
    )
    if product.available < 0 or product.reserved != reserved:
        yield f"{product.available} are available, {product.reserved} reserved, {reserved} held"
    brought = sum(delta for _, order_id, delta in local.ledger if order_id is None)
    if product.available + gone != brought:
        yield f"{brought} came in, {product.available} are there, {gone} held or sold"
    booked = sum(delta for _, _, delta in local.ledger)
    if booked != product.available:
        yield f"{product.available} are available, the ledger says {booked}"


def _wrong_queue(local: Local) -> Iterator[str]:
    """Nobody waits for what is there, and nobody was served before who came first."""
    product: Any = dict(local.tables[1])[PRODUCT]
    places: list[Any] = sorted(dict(local.tables[2]).values(), key=lambda place: place.ticket)
    holds = participants("product", local)
    waiting = [place for place in places if place.waiting]
    for place in places:
        if place.waiting != (holds[place.order_id].state is StockState.WAITING):
            yield f"order {place.order_id[-1]} is {holds[place.order_id].state}, its place is not"
    if len(waiting) != product.waiting:
        yield f"{len(waiting)} orders wait, the product counts {product.waiting}"
    if waiting and product.available >= waiting[0].quantity:
        yield f"order {waiting[0].order_id[-1]} waits for what is there"


def _wrong_coupon(local: Local) -> Iterator[str]:
    issued: Any = dict(local.tables[1]).get(COUPON)
    if issued is None:
        return
    live = [
        order_id
        for order_id, hold in participants("coupon", local).items()
        if hold.state in (CouponState.HELD, CouponState.SETTLED) and hold.issued_coupon_id
    ]
    if live != ([issued.order_id] if issued.order_id else []):
        yield f"the coupon names {issued.order_id}, it is held by {live}"


def wrong_at_rest(locals_: Locals, outside: Outside) -> Iterator[str]:
    """All done or all undone, with everybody agreeing, once nothing is under way any more."""
    for order_id, order in participants("order", locals_["order"]).items():
        states = {
            service: getattr(participants(service, locals_[service]).get(order_id), "state", None)
            for service in ("coupon", "product", "payment")
        }
        name = f"order {order_id[-1]} is {order.state}"
        if order.state is OrderState.COMPLETED:
            if states != _DONE:
                yield f"{name}, the others are {states}"
        elif not all(states[service] in _UNDONE[service] for service in states):
            yield f"{name}, the others are {states}"
        yield from _wrong_bill(locals_, outside, order)


_DONE = {
    "coupon": CouponState.SETTLED,
    "product": StockState.SOLD,
    "payment": PaymentState.CAPTURED,
}
_UNDONE: dict[str, set[object]] = {
    "coupon": {None, CouponState.REFUSED, CouponState.RELEASED},
    "product": {None, StockState.REFUSED, StockState.RELEASED},
    "payment": {None, PaymentState.FAILED, PaymentState.REFUNDED},
}


def _wrong_bill(locals_: Locals, outside: Outside, order: Any) -> Iterator[str]:
    """What was taken for the order, by wallet and by card, is what it owes."""
    ledger = locals_["payment"].ledger
    wallet = -sum(delta for _, order_id, delta in ledger if order_id == order.order_id)
    payment = participants("payment", locals_["payment"]).get(order.order_id)
    card = _captured(outside, payment) if payment is not None else 0
    owed = order.payable_amount if order.state is OrderState.COMPLETED else 0
    if wallet + card != owed:
        yield f"order {order.order_id[-1]} owes {owed}, {wallet} + {card} were taken"


def _captured(outside: Outside, payment: Any) -> int:
    if dict(outside.charges).get(payment.payment_id) is not ChargeState.CAPTURED:
        return 0
    refunds = sum(
        key.startswith(payment.payment_id) and outcome is GatewayOutcome.REFUNDED
        for key, outcome in outside.refunds
    )
    return int(payment.amount * (1 - refunds))
