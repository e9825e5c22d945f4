"""What must always hold in the shop, and what must hold at rest."""

from collections import Counter
from typing import Any

from coupon.domain import HoldState as CouponState
from events.contract import ShippingAddressesErased, UserErased
from order.domain import Order, OrderState, OrderStatus
from payment.domain import GatewayOutcome, PaymentState
from product.domain import HoldState as StockState
from tests.correctness.model.description import Local, Locals, Violations, short
from tests.correctness.model.shop.gateway import ChargeState, Gateway
from tests.correctness.model.shop.rows import SERVICES
from tests.correctness.model.shop.scenarios import COUPON, CUSTOMER, PRODUCT
from tests.correctness.model.shop.users import PRIVATE

_FORWARD: dict[OrderStatus, set[OrderStatus]] = {
    OrderStatus.PENDING: {OrderStatus.WAITING, OrderStatus.COMPLETED, OrderStatus.FAILED},
    OrderStatus.WAITING: {OrderStatus.COMPLETED, OrderStatus.FAILED},
    OrderStatus.COMPLETED: {OrderStatus.CANCELLED},
    OrderStatus.FAILED: set(),
    OrderStatus.CANCELLED: set(),
}


def orders_of(service: str, local: Local) -> dict[str, Any]:
    """The service's row of each order."""
    return SERVICES[service].sagas(local)


def wrong_step(service: str, before: Local, after: Local) -> Violations:
    """What a client may not see."""
    if service != "order":
        return
    copies = SERVICES["order"].rows(before, "addresses")
    for address_id, copy in SERVICES["order"].rows(after, "addresses").items():
        if address_id in copies and copy.version < copies[address_id].version:
            yield f"the copy of address {short(address_id)} went back to version {copy.version}"
    rows: dict[str, Order] = orders_of(service, before)
    for order_id, row in orders_of(service, after).items():
        seen = rows[order_id].status
        if row.status is not seen and row.status not in _FORWARD[seen]:
            yield f"order {short(order_id)} went from {seen} to {row.status}"


def wrong_local(service: str, local: Local) -> Violations:
    """What must hold in one service at any moment."""
    if service == "payment":
        yield from _wrong_money(local)
    elif service == "product":
        yield from _wrong_stock(local)
        yield from _wrong_queue(local)
    elif service == "coupon":
        yield from _wrong_coupon(local)
    if _is_erased(local) and PRIVATE in str(local):
        yield f"user {short(CUSTOMER)} is erased, and {service} has personal data of theirs"


def _wrong_money(local: Local) -> Violations:
    wallet = SERVICES["payment"].rows(local, "wallets").get(CUSTOMER)
    balance = wallet.balance if wallet else 0
    booked = sum(delta for _, _, delta in local.ledger)
    if balance != booked or balance < 0:
        yield f"the wallet has {balance}, the sum of its ledger is {booked}"
    paid = Counter(order for _, order, delta in local.ledger if delta < 0)
    refunded = Counter(order for _, order, delta in local.ledger if delta > 0 and order)
    for order_id, times in paid.items():
        if times > 1:
            yield f"order {short(order_id)} was paid {times} times"
    for order_id, times in refunded.items():
        if times > paid[order_id]:
            yield f"order {short(order_id)} was refunded more often than paid"


def _wrong_stock(local: Local) -> Violations:
    product = SERVICES["product"].rows(local, "products")[PRODUCT]
    holds = orders_of("product", local).values()
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
    supplied = sum(delta for _, order_id, delta in local.ledger if order_id is None)
    if product.available + gone != supplied:
        yield f"{supplied} were supplied, {product.available} are available, {gone} held or sold"
    booked = sum(delta for _, _, delta in local.ledger)
    if booked != product.available:
        yield f"{product.available} are available, the sum of the ledger is {booked}"


def _wrong_queue(local: Local) -> Violations:
    """No order waits for stock that is available, and the queue agrees with the orders' rows."""
    product = SERVICES["product"].rows(local, "products")[PRODUCT]
    queues = SERVICES["product"].rows(local, "queues")
    places = sorted(queues.values(), key=lambda place: place.ticket)
    holds = orders_of("product", local)
    waiting = [place for place in places if place.waiting]
    for place in places:
        if place.waiting != (holds[place.order_id].state is StockState.WAITING):
            state = holds[place.order_id].state
            yield f"order {short(place.order_id)} is {state}, its place in the queue is not"
    if len(waiting) != product.waiting:
        yield f"{len(waiting)} orders wait, the product counts {product.waiting}"
    if waiting and product.available >= waiting[0].quantity:
        yield f"order {short(waiting[0].order_id)} waits for stock that is available"


def _wrong_coupon(local: Local) -> Violations:
    issued = SERVICES["coupon"].rows(local, "issued").get(COUPON)
    if issued is None:
        return
    live = [
        order_id
        for order_id, hold in orders_of("coupon", local).items()
        if hold.state in (CouponState.HELD, CouponState.SETTLED) and hold.issued_coupon_id
    ]
    if live != ([issued.order_id] if issued.order_id else []):
        yield f"the coupon names {issued.order_id}, it is held by {live}"


def _is_erased(local: Local) -> bool:
    """Has this service reported that the customer is erased?"""
    return any(isinstance(each, UserErased | ShippingAddressesErased) for each in local.outbox)


def _wrong_users(locals_: Locals) -> Violations:
    """Who has signed up has a wallet; who is erased at one service is erased at the other."""
    erased = {service: _is_erased(locals_[service]) for service in ("user", "order")}
    if len(set(erased.values())) > 1:
        yield f"user {short(CUSTOMER)} is erased at one service only: {erased}"
    users = SERVICES["user"].rows(locals_["user"], "users")
    wallets = SERVICES["payment"].rows(locals_["payment"], "wallets")
    yield from (f"user {short(each)} has no wallet" for each in users.keys() - wallets.keys())


def wrong_at_rest(locals_: Locals, gateway: Gateway) -> Violations:
    """All services have done their part, or all have undone it."""
    yield from _wrong_users(locals_)
    for order_id, order in orders_of("order", locals_["order"]).items():
        states = {
            service: getattr(orders_of(service, locals_[service]).get(order_id), "state", None)
            for service in ("coupon", "product", "payment")
        }
        name = f"order {short(order_id)} is {order.state}"
        if order.state is OrderState.COMPLETED:
            if states != _DONE:
                yield f"{name}, the others are {states}"
        elif not all(states[service] in _UNDONE[service] for service in states):
            yield f"{name}, the others are {states}"
        yield from _wrong_bill(locals_, gateway, order)


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


def _wrong_bill(locals_: Locals, gateway: Gateway, order: Any) -> Violations:
    """The captures for the order, by wallet and by card, are the amount that it owes."""
    ledger = locals_["payment"].ledger
    wallet = -sum(delta for _, order_id, delta in ledger if order_id == order.order_id)
    payment = orders_of("payment", locals_["payment"]).get(order.order_id)
    card = _captured(gateway, payment) if payment is not None else 0
    owed = order.payable_amount if order.state is OrderState.COMPLETED else 0
    if wallet + card != owed:
        yield f"order {short(order.order_id)} owes {owed}, {wallet} + {card} were captured"


def _captured(gateway: Gateway, payment: Any) -> int:
    if dict(gateway.charges).get(payment.payment_id) is not ChargeState.CAPTURED:
        return 0
    refunds = sum(
        key.startswith(payment.payment_id) and outcome is GatewayOutcome.REFUNDED
        for key, outcome in gateway.refunds
    )
    return int(payment.amount * (1 - refunds))
